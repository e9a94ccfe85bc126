// SPDX-License-Identifier: MIT
// What `./dev serve [policy] [port]` runs: an echo server to talk to with nc.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#include <unistd.h>

#include <exception>
#include <stdexcept>

namespace ss = socketserver;

namespace {

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        fmt::print(stderr, "{} came: process {}, thread {}\n", client_address(), ::getpid(),
                   ::gettid());
        for (std::string_view line : rfile()) wfile().write(line);
    }
    void finish() override {
        fmt::print(stderr, "{} left\n", client_address());
        StreamRequestHandler::finish();
    }
};

template <template <class> class MixIn>
void serve(std::uint16_t port, std::string_view how) {
    ss::TCPServer<EchoHandler, MixIn> server{{"localhost", port}, {.allow_reuse_address = true}};
    const ss::ShutdownOnSignal signals{server};
    // Ctrl-C does not wait for clients that are still connected.
    server.daemon_threads = true;
    server.block_on_close = false;

    const ss::Address& address = server.server_address();
    fmt::print(stderr,
               "serving on {}\n"
               "{}. Talk to it from another terminal:  nc {} {}\n"
               "Ctrl-C ends it.\n",
               address, how, address.host(), address.port());
    server.serve_forever();
    fmt::print(stderr, "\nended in order\n");
}

void serve_by(std::string_view policy, std::uint16_t port) {
    if (policy == "synchronous") {
        return serve<ss::SynchronousMixIn>(
            port, "One client at a time, which Ctrl-C lets finish; the others wait");
    }
    if (policy == "threading") return serve<ss::ThreadingMixIn>(port, "A thread for each client");
    if (policy == "forking") return serve<ss::ForkingMixIn>(port, "A process for each client");
    if (policy == "pool") return serve<ss::ThreadPoolMixIn>(port, "So many threads for all");
    if (policy == "prefork") {
        return serve<ss::PreforkMixIn>(port, "So many processes, each with one client at a time");
    }
#ifdef HAVE_FIBERS
    if (policy == "fiber") return serve<ss::FiberMixIn>(port, "A fiber for each client");
#endif
    throw std::invalid_argument(
        fmt::format("no policy is called {}; there are: synchronous, threading, forking, pool, "
                    "prefork, fiber (if built)",
                    policy));
}

}  // namespace

int main(int argc, char** argv) {
    try {
        serve_by(argc > 1 ? argv[1] : "threading", ss::parse_port(argc > 2 ? argv[2] : "9999"));
    } catch (const std::exception& error) {
        fmt::print(stderr, "serve: {}\nusage: serve [policy] [port]\n", error.what());
        return 2;
    }
}
