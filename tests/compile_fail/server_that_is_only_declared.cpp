// expect: is_defined_above_this_code
#include <socketserver/socketserver.hpp>

class CountingServer;

class CountingHandler : public socketserver::StreamRequestHandler {
    void handle() override { ++server<CountingServer>().lines; }
};

class CountingServer : public socketserver::ThreadingTCPServer<CountingHandler> {
  public:
    using TCPServer::TCPServer;
    int lines = 0;
};

int main() { CountingServer server{{"127.0.0.1", 0}}; }
