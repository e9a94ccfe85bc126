// SPDX-License-Identifier: MIT
// A chat with its page, by WebSocket. See README.md here, and --help.
#include <algorithm>

#include "../common/serve.hpp"
#include "page.hpp"
#include "websocket.hpp"

namespace chat {

constexpr std::size_t longest_head = 8192;
constexpr std::size_t longest_message = 4096;

// [handler]
/// The first message of a guest is its name; the others go to everybody, also to itself.
class Handler : public ss::StreamRequestHandler {
  public:
    explicit Handler(ss::Connections& room) : room_{room} {
        wbufsize = -1;
        disable_nagle_algorithm = true;
    }

  private:
    void handle() override {
        const std::string text{rfile().read_until("\r\n\r\n", longest_head)};
        const auto head = parse_head(text);
        if (!head) return answer("400 Bad Request", "");
        if (head->target == "/chat" && head->is_upgrade) return enter(*head, text);
        if (head->target != "/") return answer("404 Not Found", "");
        if (head->method != "GET") return answer("405 Method Not Allowed", "");
        answer("200 OK", page);
    }
    void answer(std::string_view status, std::string_view content) {
        wfile().print(
            "HTTP/1.1 {}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n"
            "Connection: close\r\n\r\n{}",
            status, content.size(), content);
    }
    void enter(const Head& head, std::string_view text) {
        // Any page may connect here: one of another site would speak in the name of its visitor.
        if (!head.origin.empty() && !head.origin.ends_with("//" + head.host)) {
            return answer("403 Forbidden", "");
        }
        WebSocket socket{rfile(), wfile(), longest_message};
        if (!socket.accept(text)) return;
        connection().set_keepalive(ss::KeepAlive{});
        const auto name = socket.read();
        if (!name) return;
        name_ = one_line(*name);
        ss::Membership me{room_, connection(), client_address()};
        room_.broadcast(fmt::format("* {} enters, {} are here\n", name_, room_.size()));
        try {
            chat(socket, me);
        } catch (...) {
            say_goodbye(me);
            throw;
        }
        say_goodbye(me);
    }
    void chat(WebSocket& socket, ss::Membership& me) {
        for (;;) {
            const auto ready = ss::select({rfile(), me});
            if (ready[1]) {
                ss::BufferedWriter lines;  // what the others say, as one message
                const bool stays = me.deliver(lines);
                if (!lines.data().empty()) socket.write(lines.data());
                if (!stays) return socket.go_away();
            }
            if (!ready[0]) continue;
            if (rfile().peek().empty()) return socket.go_away();
            const auto message = socket.read();
            if (!message) return;
            room_.broadcast(fmt::format("{}: {}\n", name_, one_line(*message)));
        }
    }
    void say_goodbye(const ss::Membership& me) {
        room_.broadcast(fmt::format("* {} leaves\n", name_), &me);
    }
    /// Nobody speaks in the name of another by a line of his own.
    static std::string one_line(std::string text) {
        std::ranges::replace(text, '\n', ' ');
        return text;
    }

    ss::Connections& room_;
    std::string name_;
};
// [handler]

}  // namespace chat

int main(int argc, char** argv) {
    apps::ServeOptions options{.port = 8080, .idle_timeout = 0};
    CLI::App app{"A chat with its page, by WebSocket.", "chat"};
    apps::add_serve_options<apps::State::in_memory>(app, options);
    return apps::main_of(app, argc, argv, [&] {
        socketserver::Connections room;
        apps::serve<chat::Handler, apps::State::in_memory>(options,
                                                           [&] { return chat::Handler{room}; });
    });
}
