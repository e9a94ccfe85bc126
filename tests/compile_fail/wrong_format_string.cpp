// expect: argument not found|call to consteval function
#include <socketserver/socketserver.hpp>

class EchoHandler : public socketserver::StreamRequestHandler {
    void handle() override { wfile().print("{} {}\n", rfile().readline()); }
};

int main() { socketserver::TCPServer<EchoHandler> server{{"127.0.0.1", 0}}; }
