// SPDX-License-Identifier: MIT
// What the library's benchmark servers share: the handler, the addresses, and how to serve.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <sys/resource.h>

#include <socketserver/socketserver.hpp>

namespace bench {

namespace ss = socketserver;

struct Options {
    std::string policy;
    std::string address;        // a port of 127.0.0.1 (0: the kernel picks one), a path, or @name
    int write_buffer_size = 0;  // the handler's wbufsize: above 0 replies are corked
    int workers = 1;            // of a fiber server
};

inline Options options;

class EchoHandler : public ss::StreamRequestHandler {
  public:
    EchoHandler() { wbufsize = static_cast<decltype(wbufsize)>(options.write_buffer_size); }

  private:
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

// argv: POLICY ADDRESS [--wbufsize N] [--workers N]
inline bool parse(int argc, char** argv) {
    if (argc < 3 || argc % 2 == 0) return false;
    options.policy = argv[1];
    options.address = argv[2];
    for (int i = 3; i < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name == "--wbufsize") {
            options.write_buffer_size = std::atoi(argv[i + 1]);
        } else if (name == "--workers") {
            options.workers = std::atoi(argv[i + 1]);
        } else {
            return false;
        }
    }
    return true;
}

inline void raise_descriptor_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

inline bool is_unix_address() {
    return options.address.starts_with('/') || options.address.starts_with('@');
}

inline ss::Address tcp_address() {
    return {"127.0.0.1", static_cast<std::uint16_t>(std::atoi(options.address.c_str()))};
}

// Serves until SIGTERM.
template <class Server>
int serve(Server& server) {
    ss::ShutdownOnSignal signals{server};
    server.socket().set_nodelay(true);  // inherited by what is accepted, as in the raw servers
    if (is_unix_address()) {
        std::puts("ready");
    } else {
        std::printf("port %d\n", static_cast<int>(server.server_address().port()));
    }
    std::fflush(stdout);
    server.serve_forever();
    return 0;
}

}  // namespace bench
