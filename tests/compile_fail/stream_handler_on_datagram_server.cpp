// expect: derives_from_DatagramRequestHandler_or_BaseRequestHandler_of_Datagram
#include <socketserver/socketserver.hpp>

class EchoHandler : public socketserver::StreamRequestHandler {
    void handle() override { wfile().write(rfile().readline()); }
};

int main() { socketserver::UDPServer<EchoHandler> server{{"127.0.0.1", 0}}; }
