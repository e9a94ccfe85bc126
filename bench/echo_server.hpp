// SPDX-License-Identifier: MIT
// What the library's benchmark servers share: the handler, the addresses, and how to serve.
#pragma once

#include <chrono>
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
    int timeout = 0;            // seconds that a client may be silent; 0: for ever
    std::string pem;            // of a TLS server: its certificate and key
    int reply_delay = -1;       // microseconds that a UDP reply may be held back; -1: none
    int work = 0;               // thousands of steps of a computation, done for each line
};

inline Options options;

// Some microseconds for each thousand: each step needs the result of the one before.
inline void compute(int thousands) {
    std::uint64_t state = 1;
    for (int i = 0; i < thousands * 1000; ++i) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        asm volatile("" : "+r"(state));
    }
}

class EchoHandler : public ss::StreamRequestHandler {
  public:
    EchoHandler() {
        wbufsize = static_cast<decltype(wbufsize)>(options.write_buffer_size);
        if (options.timeout > 0) timeout = std::chrono::seconds{options.timeout};
    }

  private:
    void handle() override {
        for (std::string_view line : rfile()) {
            if (options.work > 0) compute(options.work);
            wfile().write(line);
        }
    }
};

// argv: POLICY ADDRESS [--wbufsize N] [--workers N] [--timeout N] [--work N] [--reply-delay N]
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
        } else if (name == "--timeout") {
            options.timeout = std::atoi(argv[i + 1]);
        } else if (name == "--work") {
            options.work = std::atoi(argv[i + 1]);
        } else if (name == "--reply-delay") {
            options.reply_delay = std::atoi(argv[i + 1]);
        } else if (name == "--pem") {
            options.pem = argv[i + 1];
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
