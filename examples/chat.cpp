// SPDX-License-Identifier: MIT
// A chat: every line goes to everybody else. Try: nc localhost 9999, in several windows.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

namespace ss = socketserver;

#ifndef POLICY
#    define POLICY ThreadingMixIn  // the tests build this program with another one, too
#endif

// [chat]
class ChatHandler : public ss::StreamRequestHandler {
  public:
    explicit ChatHandler(ss::Connections& room) : room_{room} {}

  private:
    void handle() override {
        ss::Membership me{room_, connection(), client_address()};
        room_.broadcast(fmt::format("* {} enters\n", client_address()), &me);
        wfile().print("* welcome, {} are here\n", room_.size());
        try {
            chat(me);
        } catch (...) {
            say_goodbye(me);
            throw;
        }
        say_goodbye(me);
    }
    void chat(ss::Membership& me) {
        for (;;) {
            const auto ready = ss::select({rfile(), me});
            if (ready[1] && !me.deliver(wfile())) return;  // what the others say
            if (!ready[0]) continue;
            const auto line = rfile().readline();
            if (line.empty()) return;
            room_.broadcast(fmt::format("{}: {}", client_address(), line), &me);
        }
    }
    void say_goodbye(const ss::Membership& me) {
        room_.broadcast(fmt::format("* {} leaves\n", client_address()), &me);
    }

    ss::Connections& room_;
};
// [chat]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    ss::Connections room;
    ss::TCPServer<ChatHandler, ss::POLICY> server{
        {"localhost", port}, {}, [&] { return ChatHandler{room}; }};
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
    room.close_all();  // or the server, as it goes, would wait until the last guest has left
}
