// SPDX-License-Identifier: MIT
// What docs/guide/servers.md shows, run once.
#include <socketserver/socketserver.hpp>
#include <sys/socket.h>

#include <stdexcept>
#include <thread>

namespace ss = socketserver;

namespace {

class HelloHandler : public ss::StreamRequestHandler {
    void handle() override { wfile().write("hello\n"); }
};

class DatagramHandler : public ss::DatagramRequestHandler {
    void handle() override { wfile().write("hello\n"); }
};

// [deferred]
class KeepAliveServer : public ss::ThreadingTCPServer<HelloHandler> {
  public:
    explicit KeepAliveServer(const ss::Address& address)
        : TCPServer{address, {.bind_and_activate = false}} {
        KeepAliveServer::server_bind();
        KeepAliveServer::server_activate();
    }
    ~KeepAliveServer() override { server_close(); }

  protected:
    void server_bind() override {
        const int on = 1;  // accepted connections inherit it
        ::setsockopt(socket().fileno(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        TCPServer::server_bind();
    }
};
// [deferred]

// [adopt]
/// For a service manager that listens itself and hands the descriptor over.
void serve_descriptor(int descriptor, std::stop_token stop) {
    ss::ThreadingTCPServer<HelloHandler> server{ss::Socket{descriptor}};
    server.serve_forever(stop);
}
// [adopt]

void require(bool condition, const char* what) {
    if (!condition) throw std::runtime_error(what);
}

void check_hello(const ss::Address& address) {
    ss::Socket client = ss::create_connection(address);
    client.settimeout(std::chrono::seconds{10});
    require(ss::BufferedReader{client}.readline() == "hello\n", "no hello");
}

void create() {
    // [create]
    ss::TCPServer<HelloHandler> one_by_one{{"localhost", 0}};
    ss::ThreadingTCPServer<HelloHandler> everywhere{{"::", 0}, {.allow_reuse_address = true}};
    ss::ForkingUnixStreamServer<HelloHandler> local{"@hello"};
    ss::UDPServer<DatagramHandler> datagrams{{"127.0.0.1", 0}, {.max_packet_size = 1500}};
    // [create]
    require(one_by_one.server_address().port() != 0, "no port");
}

}  // namespace

int main() {
    create();

    KeepAliveServer keep_alive{{"127.0.0.1", 0}};
    {
        const std::jthread serving{[&](std::stop_token stop) { keep_alive.serve_forever(stop); }};
        check_hello(keep_alive.server_address());
    }

    ss::Socket listening{ss::Address{"127.0.0.1", 0}, ss::SocketType::stream};
    listening.bind({"127.0.0.1", 0});
    const ss::Address address = listening.getsockname();
    listening.listen(5);
    const std::jthread serving{
        [&](std::stop_token stop) { serve_descriptor(listening.detach(), stop); }};
    check_hello(address);
}
