// expect within 10 lines: verify_request.*it takes a const Request&
#include <socketserver/socketserver.hpp>

using namespace socketserver;

class Handler : public StreamRequestHandler {
    void handle() override {}
};

class Server : public ThreadingTCPServer<Handler> {
    bool verify_request(Socket&, const Address&) { return false; }
};
