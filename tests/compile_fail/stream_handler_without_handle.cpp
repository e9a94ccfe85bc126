// expect: overrides_handle
#include <socketserver/socketserver.hpp>

class IdleHandler : public socketserver::StreamRequestHandler {};

int main() { socketserver::TCPServer<IdleHandler> server{{"127.0.0.1", 0}}; }
