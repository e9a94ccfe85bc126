// expect success
// Every public header, after macros that Qt, X11, the C library and older programs define. The
// standard library's headers, which do not bear all of them, come first.
#include <other_headers.hpp>

// clang-format off
#define signals public
#define slots
#define emit
#define forever for (;;)
#define foreach(variable, container) for (variable : container)
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define major(device) ((device) >> 8)
#define minor(device) ((device) & 0xff)
#define unix 1
#define linux 1
#define None 0L
#define Bool int
#define Status int
#define Success 0
#define Always 2
#define True 1
#define False 0

#include <public_headers.hpp>
// clang-format on

class EchoHandler : public socketserver::StreamRequestHandler {
    void handle() override { wfile().write(rfile().readline()); }
};

int main() {
    socketserver::TCPServer<EchoHandler> server{{"127.0.0.1", 0}};
    socketserver::TCPServer<EchoHandler, socketserver::PreforkMixIn> prefork{{"127.0.0.1", 0}};
    const socketserver::ShutdownOnSignal on_signal{server};
    server.serve_forever();
}
