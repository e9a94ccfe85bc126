// SPDX-License-Identifier: MIT
// Receives what Python's logging sends: SocketHandler to the TCP port, DatagramHandler and
// SysLogHandler to the UDP port. log_receiver [TCP port] [UDP port]
//
// The first two send pickles. Unpickling data from the network can run any code, so nothing is
// unpickled here: a scanner finds the strings in it, each of which is 'X', a length, and UTF-8.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <thread>

namespace ss = socketserver;

// [log_pickle]
/// The text that follows `key` in the pickle of a dictionary; "?" if no string does.
static std::string_view value_of(std::string_view key, std::string_view pickle) {
    const auto string_at = [&](std::size_t at) -> std::string_view {
        if (at + 5 > pickle.size() || pickle[at] != 'X') return {};
        std::size_t size = 0;
        for (std::size_t i = 4; i > 0; --i)
            size = size << 8 | static_cast<unsigned char>(pickle[at + i]);
        return size <= pickle.size() - at - 5 ? pickle.substr(at + 5, size) : std::string_view{};
    };
    for (std::size_t at = pickle.find('X'); at != pickle.npos; at = pickle.find('X', at + 1)) {
        if (string_at(at) != key) continue;
        std::size_t value = at + 5 + key.size();
        if (value < pickle.size() && pickle[value] == 'q') value += 2;  // remembered by the pickler
        if (const std::string_view text = string_at(value); !text.empty()) return text;
    }
    return "?";
}

static void show_pickle(std::string_view pickle) {
    fmt::print("{} bytes: {} {}: {}\n", pickle.size(), value_of("levelname", pickle),
               value_of("name", pickle), value_of("msg", pickle));
    std::fflush(stdout);
}
// [log_pickle]

// [log_handlers]
class LogStreamHandler : public ss::StreamRequestHandler {
    void handle() override {
        constexpr std::size_t longest = 1 << 20;  // a length is only what a client claims
        for (std::string head; (head = rfile().read(4)).size() == 4;) {
            std::size_t size = 0;
            for (const char byte : head) size = size << 8 | static_cast<unsigned char>(byte);
            if (size > longest) throw std::length_error(fmt::format("a record of {} bytes", size));
            show_pickle(rfile().read(size));
        }
    }
};

class LogDatagramHandler : public ss::DatagramRequestHandler {
    void handle() override {
        const std::string& data = request().data();
        if (!data.starts_with('<'))
            return show_pickle(
                std::string_view{data}.substr(std::min<std::size_t>(4, data.size())));
        fmt::print("syslog: {}\n", data.substr(0, data.find('\0')));  // "<priority>text"
        std::fflush(stdout);
    }
};
// [log_handlers]

int main(int argc, char** argv) {
    const auto port = [&](int i, int otherwise) {
        return argc > i ? ss::parse_port(argv[i]) : otherwise;
    };
    ss::ThreadingTCPServer<LogStreamHandler> tcp{{"localhost", port(1, 9020)}};  // Python's default
    ss::UDPServer<LogDatagramHandler> udp{{"localhost", port(2, 9021)}};
    const ss::ShutdownOnSignal signals{tcp}, udp_signals{udp};
    fmt::print(stderr, "serving on {}\nserving on {}\n", tcp.server_address(),
               udp.server_address());
    const std::jthread datagrams{[&] { udp.serve_forever(); }};
    tcp.serve_forever();
}
