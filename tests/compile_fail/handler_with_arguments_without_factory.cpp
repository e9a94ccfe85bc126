// expect: this handler's constructor takes arguments: give the server a factory
#include <socketserver/socketserver.hpp>

class GreetingHandler : public socketserver::StreamRequestHandler {
  public:
    explicit GreetingHandler(int greeting) : greeting_{greeting} {}

  private:
    void handle() override { wfile().print("{}", greeting_); }
    int greeting_;
};

int main() { socketserver::TCPServer<GreetingHandler> server{{"127.0.0.1", 0}}; }
