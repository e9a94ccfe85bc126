// SPDX-License-Identifier: MIT
// A chat: every line goes to everybody else. Try: nc localhost 9999, in several windows.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#include <sys/socket.h>

#include <mutex>
#include <set>

namespace ss = socketserver;

#ifndef POLICY
#    define POLICY ThreadingMixIn  // the tests build this program with another one, too
#endif

// [chat]
class Room {
  public:
    void enter(ss::Socket& guest) {
        const std::lock_guard lock{mutex_};
        guests_.insert(&guest);
        tell(guest, fmt::format("* welcome, {} are here\n", guests_.size()));
        if (is_closed_) show_out(guest);
    }
    void leave(ss::Socket& guest) {
        const std::lock_guard lock{mutex_};
        guests_.erase(&guest);
    }
    void say(const ss::Socket& speaker, const std::string& line) {
        const std::lock_guard lock{mutex_};
        for (const ss::Socket* guest : guests_) {
            if (guest != &speaker) tell(*guest, line);
        }
    }
    void close() {
        const std::lock_guard lock{mutex_};
        is_closed_ = true;
        for (ss::Socket* guest : guests_) show_out(*guest);
    }

  private:
    // Without waiting: who reads too slowly has to go, the others do not wait for him.
    static void tell(const ss::Socket& guest, const std::string& line) {
        const auto sent =
            ::send(guest.fileno(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent != std::ssize(line)) show_out(guest);
    }
    // Ends the loop in the guest's handler, which then leaves by itself.
    static void show_out(const ss::Socket& guest) { ::shutdown(guest.fileno(), SHUT_RDWR); }

    std::mutex mutex_;
    std::set<ss::Socket*> guests_;
    bool is_closed_ = false;
};

class ChatHandler : public ss::StreamRequestHandler {
  public:
    explicit ChatHandler(Room& room) : room_{room} {}

  private:
    void handle() override {
        room_.say(request(), fmt::format("* {} enters\n", client_address()));
        room_.enter(request());
        for (std::string_view line : rfile()) {
            room_.say(request(), fmt::format("{}: {}", client_address(), line));
        }
    }
    void finish() override {  // called whatever happened in handle()
        room_.leave(request());
        room_.say(request(), fmt::format("* {} leaves\n", client_address()));
    }

    Room& room_;
};
// [chat]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    Room room;
    ss::TCPServer<ChatHandler, ss::POLICY> server{
        {"localhost", port}, {}, [&] { return ChatHandler{room}; }};
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
    room.close();  // or the server, as it goes, would wait until the last guest has left
}
