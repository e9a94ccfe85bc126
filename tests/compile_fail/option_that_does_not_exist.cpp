// expect: no non-static data member named|does not refer to any field
#include <socketserver/socketserver.hpp>

class EchoHandler : public socketserver::StreamRequestHandler {
    void handle() override { wfile().write(rfile().readline()); }
};

int main() {
    const socketserver::ServerOptions options{.allow_reuse_adress = true};
    socketserver::TCPServer<EchoHandler> server{{"127.0.0.1", 0}, options};
}
