// SPDX-License-Identifier: MIT
// The library's line echo server over TLS: socketserver_tls_echo POLICY ADDRESS --pem FILE
// [option...], with the options of socketserver_echo and a file that has a certificate and its key.
#include <socketserver/tls_server.hpp>

#include "echo_server.hpp"

namespace {

using namespace bench;

template <class Server>
int serve_tls() {
    ss::TLSServer<Server> server{tcp_address(), {.certfile = options.pem}};
    if constexpr (requires { server.workers; }) {
        server.workers = static_cast<decltype(server.workers)>(options.workers);
    }
    return serve(server);
}

}  // namespace

int main(int argc, char** argv) {
    if (parse(argc, argv) && !options.pem.empty() && !is_unix_address()) {
        raise_descriptor_limit();
        if (options.policy == "threading") return serve_tls<ss::ThreadingTCPServer<EchoHandler>>();
#ifdef BENCH_FIBERS
        if (options.policy == "fiber") {
            return serve_tls<ss::TCPServer<EchoHandler, ss::FiberMixIn>>();
        }
#endif
    }
    std::fputs("usage: socketserver_tls_echo threading|fiber PORT --pem FILE [option...]\n",
               stderr);
    return 2;
}
