// expect within 10 lines: process_request.*it takes a Request&&
#include <socketserver/socketserver.hpp>

using namespace socketserver;

class Handler : public DatagramRequestHandler {
    void handle() override {}
};

class Server : public UDPServer<Handler> {
    void process_request(Datagram&, const Address&) {}
};
