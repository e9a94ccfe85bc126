// SPDX-License-Identifier: MIT
// Passes connections on to another server, in both directions: proxy <host> <port> [own port]
#include <fmt/format.h>
#include <socketserver/fiber.hpp>
#include <socketserver/socketserver.hpp>
#include <sys/socket.h>

namespace ss = socketserver;

#ifndef POLICY
#    define POLICY ThreadingMixIn  // the tests build this program with another one, too
#endif

// [proxy]
static void pump(ss::Socket& from, ss::Socket& to) {
    try {
        for (std::string data; !(data = from.recv(65536)).empty();) to.sendall(data);
        to.shutdown(ss::ShutdownHow::write);  // the end of the stream is passed on as well
    } catch (...) {
        // One direction broke: the other must not wait for ever.
        ::shutdown(from.fileno(), SHUT_RDWR);
        ::shutdown(to.fileno(), SHUT_RDWR);
        throw;
    }
}

class ProxyHandler : public ss::BaseRequestHandler<> {
  public:
    explicit ProxyHandler(const ss::Address& target) : target_{target} {}

  private:
    void handle() override {
        using namespace std::chrono_literals;
        ss::Socket upstream = ss::create_connection(target_, ss::SocketType::stream, 5s);
        upstream.settimeout({});  // the 5 seconds were for connecting
        // Beside this one: a fiber in a fiber, else a thread.
        ss::Fiber back = ss::spawn([&] { pump(upstream, request()); });
        pump(request(), upstream);
        back.join();  // rethrows what went wrong there
    }

    const ss::Address& target_;
};
// [proxy]

int main(int argc, char** argv) {
    if (argc < 3) {
        fmt::print(stderr, "usage: proxy <host> <port> [own port]\n");
        return 2;
    }
    const ss::Address target{argv[1], ss::parse_port(argv[2])};
    ss::TCPServer<ProxyHandler, ss::POLICY> server{
        {"localhost", argc > 3 ? ss::parse_port(argv[3]) : 9999}, {}, [&] {
            return ProxyHandler{target};
        }};
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
