// SPDX-License-Identifier: MIT
// The library's line echo server under the policies of the core:
// socketserver_echo POLICY ADDRESS [--wbufsize N]
#include "echo_server.hpp"

namespace {

using namespace bench;

template <class Server>
int configure_and_serve(Server& server) {
    // Python's limit of 40 children would leave the other connections without an answer.
    if constexpr (requires { server.max_children; }) server.max_children = 100'000;
    if constexpr (requires { server.max_threads; }) server.max_threads = 64;
    return serve(server);
}

template <template <class> class MixIn>
int serve_lines() {
    if (is_unix_address()) {
        ss::UnixStreamServer<EchoHandler, MixIn> server{options.address};
        return configure_and_serve(server);
    }
    ss::TCPServer<EchoHandler, MixIn> server{tcp_address()};
    return configure_and_serve(server);
}

class DatagramHandler : public ss::BaseRequestHandler<ss::Datagram> {
    void handle() override {
        if (options.work > 0) compute(options.work);
        request().socket().sendto(request().data(), client_address());
    }
};

int serve_datagrams() {
    ss::ServerOptions server_options;
    if (options.reply_delay >= 0) {
        server_options.max_reply_delay = std::chrono::microseconds{options.reply_delay};
    }
    ss::UDPServer<DatagramHandler> server{tcp_address(), server_options};
    return serve(server);
}

int serve_datagrams_in_workers(bool socket_per_worker) {
    ss::ServerOptions server_options;
    server_options.socket_per_worker = socket_per_worker;
    ss::UDPServer<DatagramHandler, ss::PreforkMixIn> server{tcp_address(), server_options};
    server.workers = static_cast<std::size_t>(options.workers);
    return serve(server);
}

int usage() {
    std::fputs(
        "usage: socketserver_echo sync|threading|forking|pool|prefork|udp|udp-workers|udp-shared"
        " ADDRESS [--wbufsize N] [--reply-delay MICROSECONDS] [--workers N] [--work N]\n",
        stderr);
    return 2;
}

}  // namespace

int main(int argc, char** argv) {
    if (!parse(argc, argv)) return usage();
    raise_descriptor_limit();
    if (options.policy == "sync") return serve_lines<ss::SynchronousMixIn>();
    if (options.policy == "threading") return serve_lines<ss::ThreadingMixIn>();
    if (options.policy == "forking") return serve_lines<ss::ForkingMixIn>();
    if (options.policy == "pool") return serve_lines<ss::ThreadPoolMixIn>();
    if (options.policy == "prefork") return serve_lines<ss::PreforkMixIn>();
    if (options.policy == "udp") return serve_datagrams();
    if (options.policy == "udp-workers") return serve_datagrams_in_workers(true);
    if (options.policy == "udp-shared") return serve_datagrams_in_workers(false);
    return usage();
}
