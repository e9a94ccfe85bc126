// SPDX-License-Identifier: MIT
// The library's line echo server with a fiber per connection:
// socketserver_fiber_echo fiber|prefork ADDRESS [--wbufsize N] [--workers N] [--timeout N] [--work
// N]
//
// prefork: N processes with one worker each, for more connections than a process may have
// descriptors.
#include "echo_server.hpp"

namespace {

using namespace bench;

template <class Server>
int serve_fibers(Server& server) {
    server.workers = static_cast<decltype(server.workers)>(options.workers);
    return serve(server);
}

}  // namespace

int main(int argc, char** argv) {
    if (!parse(argc, argv) || (options.policy != "fiber" && options.policy != "prefork")) {
        std::fputs(
            "usage: socketserver_fiber_echo fiber|prefork ADDRESS"
            " [--wbufsize N] [--workers N] [--timeout N] [--work N]\n",
            stderr);
        return 2;
    }
    raise_descriptor_limit();
    if (options.policy == "prefork") {
        ss::TCPServer<EchoHandler, ss::PreforkOf<ss::FiberMixIn>::MixIn> server{tcp_address()};
        server.workers = static_cast<std::size_t>(options.workers);
        server.FiberMixIn::workers = 1;
        return serve(server);
    }
    if (is_unix_address()) {
        ss::UnixStreamServer<EchoHandler, ss::FiberMixIn> server{options.address};
        return serve_fibers(server);
    }
    ss::TCPServer<EchoHandler, ss::FiberMixIn> server{tcp_address()};
    return serve_fibers(server);
}
