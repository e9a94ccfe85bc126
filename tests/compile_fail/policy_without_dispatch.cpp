// expect: has no dispatch\(request, client_address\)
#include <socketserver/socketserver.hpp>

class EchoHandler : public socketserver::StreamRequestHandler {
    void handle() override { wfile().write(rfile().readline()); }
};

template <class Server>
class IdleMixIn {};

int main() { socketserver::TCPServer<EchoHandler, IdleMixIn> server{{"127.0.0.1", 0}}; }
