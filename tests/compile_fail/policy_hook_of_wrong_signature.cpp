// expect: mixin_takes.*override
#include <socketserver/socketserver.hpp>

class EchoHandler : public socketserver::StreamRequestHandler {
    void handle() override { wfile().write(rfile().readline()); }
};

template <class Server>
class IdleMixIn : public socketserver::Policy {
  protected:
    void dispatch(auto, auto) {}
    bool mixin_takes(socketserver::Socket&) override { return false; }
};

int main() { socketserver::TCPServer<EchoHandler, IdleMixIn> server{{"127.0.0.1", 0}}; }
