// expect: derives_from_StreamRequestHandler_or_BaseRequestHandler
#include <socketserver/socketserver.hpp>

class PingHandler : public socketserver::DatagramRequestHandler {
    void handle() override { wfile().write(rfile().read()); }
};

int main() { socketserver::TCPServer<PingHandler> server{{"127.0.0.1", 0}}; }
