// SPDX-License-Identifier: MIT
// One handler under any policy, on any transport: echo_policies <policy> <transport> [port or path]
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <stdexcept>

namespace ss = socketserver;

// [echo_policies]
class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};
class DatagramEchoHandler : public ss::DatagramRequestHandler {
    void handle() override { wfile().write(rfile().read()); }
};

template <class Server>
void serve(const ss::Address& address) {
    Server server{address};
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}

template <template <class> class MixIn>
void serve_on(std::string_view transport, const char* where) {
    const auto port = transport.starts_with("unix") ? 0 : ss::parse_port(where);
    if (transport == "tcp") return serve<ss::TCPServer<EchoHandler, MixIn>>({"localhost", port});
    if (transport == "udp") {
        return serve<ss::UDPServer<DatagramEchoHandler, MixIn>>({"localhost", port});
    }
    if (transport == "unix") return serve<ss::UnixStreamServer<EchoHandler, MixIn>>(where);
    if (transport == "unix-datagram") {
        return serve<ss::UnixDatagramServer<DatagramEchoHandler, MixIn>>(where);
    }
    throw std::invalid_argument("transports: tcp, udp, unix, unix-datagram");
}

void serve_by(std::string_view policy, std::string_view transport, const char* where) {
    if (policy == "synchronous") return serve_on<ss::SynchronousMixIn>(transport, where);
    if (policy == "threading") return serve_on<ss::ThreadingMixIn>(transport, where);
    if (policy == "forking") return serve_on<ss::ForkingMixIn>(transport, where);
    if (policy == "pool") return serve_on<ss::ThreadPoolMixIn>(transport, where);
    if (policy == "prefork") return serve_on<ss::PreforkMixIn>(transport, where);
#ifdef HAVE_FIBERS  // the program is linked with socketserver::fiber
    if (policy == "fiber") return serve_on<ss::FiberMixIn>(transport, where);
#endif
    throw std::invalid_argument("no such policy");
}
// [echo_policies]

int main(int argc, char** argv) {
    try {
        serve_by(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : "0");
    } catch (const std::exception& error) {
        fmt::print(stderr, "echo_policies: {}\n", error.what());
        return 2;
    }
}
