// expect within 10 lines: handle_error.*add: std::exception_ptr
#include <socketserver/socketserver.hpp>

using namespace socketserver;

class Handler : public StreamRequestHandler {
    void handle() override {}
};

class Server : public ThreadingTCPServer<Handler> {
    void handle_error(Socket&, const Address&) {}
};
