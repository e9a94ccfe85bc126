// expect within 10 lines: prepare_request.*it takes an Address&
#include <socketserver/socketserver.hpp>

using namespace socketserver;

class Handler : public StreamRequestHandler {
    void handle() override {}
};

class Server : public TCPServer<Handler> {
    void prepare_request(Socket&, const Address&) {}
};
