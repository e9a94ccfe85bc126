// expect: enter_child.*leave_worker
#include <socketserver/socketserver.hpp>

class ForkingHandler : public socketserver::StreamRequestHandler {
    void handle() override {
        server().wake_loop();  // anybody's
        server().enter_child();
        server().leave_worker();
    }
};

int main() { socketserver::TCPServer<ForkingHandler> server{{"127.0.0.1", 0}}; }
