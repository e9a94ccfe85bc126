// expect: derive this policy \(MixIn\) from socketserver::Policy, or nobody calls its [" ]*mixin_ready
#include <socketserver/socketserver.hpp>

class EchoHandler : public socketserver::StreamRequestHandler {
    void handle() override { wfile().write(rfile().readline()); }
};

template <class Server>
class IdleMixIn {
  protected:
    void dispatch(auto, auto) {}

  private:
    bool mixin_ready() { return false; }
};

int main() { socketserver::TCPServer<EchoHandler, IdleMixIn> server{{"127.0.0.1", 0}}; }
