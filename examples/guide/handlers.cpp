// SPDX-License-Identifier: MIT
// What docs/guide/handlers.md shows, each handler run once by the test kit.
#include <fmt/format.h>
#include <netinet/in.h>
#include <socketserver/socketserver.hpp>
#include <socketserver/testing.hpp>

#include <atomic>
#include <charconv>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <thread>

namespace ss = socketserver;

namespace {

// [life]
class GreetingHandler : public ss::StreamRequestHandler {
    void setup() override {
        timeout = std::chrono::seconds{30};  // before the base class's setup()
        StreamRequestHandler::setup();       // makes rfile() and wfile()
    }
    void handle() override { wfile().print("hello, {}\n", client_address()); }
    void finish() override {
        if (!handle_failed()) wfile().write("goodbye\n");
        StreamRequestHandler::finish();  // flushes wfile()
    }
};
// [life]

// [copy]
class PairHandler : public ss::StreamRequestHandler {
    void handle() override {
        const std::string first{rfile().readline()};         // a copy: another read follows
        const std::string_view second = rfile().readline();  // a view: none follows
        wfile().write(second);
        wfile().write(first);
    }
};
// [copy]

// [block]
class BlockHandler : public ss::StreamRequestHandler {
    /// A number of bytes on a line of its own, then the bytes.
    void handle() override {
        const std::string_view line = rfile().readline(16);
        std::size_t size = 0;
        std::from_chars(line.data(), line.data() + line.size(), size);
        if (size > 1'000'000) throw std::runtime_error("a block that is too large");
        const std::string block = rfile().read(size);
        if (block.size() < size) return;  // the client went away in the middle
        wfile().print("{} bytes\n", block.size());
    }
};
// [block]

// [wbufsize]
class CountingHandler : public ss::StreamRequestHandler {
  public:
    CountingHandler() { wbufsize = 4096; }

  private:
    void handle() override {
        for (std::string_view line : rfile()) {    // before it waits, what is held back is sent
            wfile().print("{}: ", ++count_);       // held back
            wfile().write(line);                   // held back
            if (line == "now\n") wfile().flush();  // sent, whatever comes
        }
    }

    int count_ = 0;
};
// [wbufsize]

// [shared]
class TickingHandler : public ss::StreamRequestHandler {
  public:
    TickingHandler() { wbufsize = 4096; }

  private:
    void handle() override {
        const std::jthread clock{[this] {  // joined before wfile() goes
            for (int second = 1; second <= 3; ++second) {
                wfile().print("tick {}\n", second);
                wfile().flush();
            }
        }};
        for (std::string_view line : rfile()) wfile().write(line);
    }
};
// [shared]

// [timeout]
class PatientHandler : public ss::StreamRequestHandler {
  public:
    explicit PatientHandler(std::chrono::milliseconds patience) { timeout = patience; }

  private:
    void handle() override {
        for (int times = 0; times < 3; ++times) {
            try {
                wfile().write(rfile().readline());
                return;
            } catch (const ss::TimeoutError&) {
                wfile().write("still there?\n");  // rfile() goes on where it was
            }
        }
    }
};
// [timeout]

// [frames]
class FrameHandler : public ss::StreamRequestHandler {
    /// Messages: 4 bytes of size in network order, 1 byte of kind, the text.
    void handle() override {
        while (!rfile().peek().empty()) {
            const auto size = rfile().read_integer<std::uint32_t>();
            if (size > 1'000'000) throw std::runtime_error("a message that is too large");
            const auto kind = rfile().read_integer<std::uint8_t>();
            const std::string text = rfile().read_exactly(size);
            wfile().write_integer<std::uint32_t>(text.size());
            wfile().write_integer<std::uint8_t>(kind);
            wfile().write(text);
        }
    }
};
// [frames]

// [lines]
class CommandHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (const auto& [command, has_end] : rfile().lines(512)) {
            if (!has_end) return;  // half a command is none
            if (command == "QUIT") return;
            wfile().print("250 {}\r\n", command);
        }
    }
};
// [lines]

// [datagram]
class SumHandler : public ss::DatagramRequestHandler {
    void handle() override {
        if (request().truncated()) return;  // longer than max_packet_size: no answer
        long sum = 0;
        for (std::string_view line : rfile()) {
            long number = 0;
            std::from_chars(line.data(), line.data() + line.size(), number);
            sum += number;
        }
        wfile().print("{}\n", sum);  // one datagram, sent after handle()
    }
};

class EveryOtherHandler : public ss::BaseRequestHandler<ss::Datagram> {
    void handle() override {
        for (const char* part : {"one", "two"}) request().socket().sendto(part, client_address());
    }
};
// [datagram]

// [factory]
class LookupHandler : public ss::StreamRequestHandler {
  public:
    explicit LookupHandler(const std::map<std::string, std::string, std::less<>>& names)
        : names_{names} {}

  private:
    void handle() override {
        for (std::string_view line : rfile()) {
            const auto found = names_.find(line.substr(0, line.find('\n')));
            wfile().print("{}\n", found == names_.end() ? "?" : found->second);
        }
    }

    const std::map<std::string, std::string, std::less<>>& names_;
};
// [factory]

// [options]
class TunedHandler : public ss::StreamRequestHandler {
    void handle() override {
        using namespace std::chrono_literals;
        connection().set_keepalive(ss::KeepAlive{.idle = 60s, .interval = 10s, .probes = 6});
        connection().set_user_timeout(30s);
        connection().setsockopt(IPPROTO_IP, IP_TOS, 0x10);
        wfile().print("type of service {}\n", connection().getsockopt(IPPROTO_IP, IP_TOS));
    }
};
// [options]

// [shared_state]
class Counters {
  public:
    std::atomic<int> lines{0};
};

class NumberingHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) {
            wfile().print("{} {}", ++server<Counters>().lines, line);
        }
    }
};

class NumberingServer : public Counters, public ss::ThreadingTCPServer<NumberingHandler> {
  public:
    using TCPServer::TCPServer;
    ~NumberingServer() override { server_close(); }
};
// [shared_state]

// [relay]
class TunnelHandler : public ss::StreamRequestHandler {
    /// A line with the port of another server on this machine, then whatever the two say.
    void handle() override {
        using namespace std::chrono_literals;
        const auto line = rfile().next_line(16);
        if (!line) return;
        ss::Socket other = ss::create_connection({"localhost", ss::parse_port(line->text)});
        wfile().write("connected\n");
        const ss::RelayResult result = ss::relay(rfile(), other, 10min);
        if (result.end != ss::RelayEnd::finished) return;
        fmt::print("{} bytes there, {} back\n", result.a_to_b, result.b_to_a);
    }
};
// [relay]

void check(const std::string& actual, std::string_view expected) {
    if (actual != expected) throw std::runtime_error(fmt::format("{} != {}", actual, expected));
}

}  // namespace

int main() {
    using ss::testing::run_handler;
    check(run_handler<GreetingHandler>(""), "hello, 127.0.0.1:50000\ngoodbye\n");
    check(run_handler<PairHandler>("one\ntwo\n"), "two\none\n");
    check(run_handler<BlockHandler>("5\nabcde"), "5 bytes\n");
    check(run_handler<BlockHandler>("5\nabc"), "");
    const std::string frame{"\0\0\0\2\7hi", 7};
    check(run_handler<FrameHandler>(frame), frame);
    check(run_handler<CommandHandler>("NOOP\r\nHELP\nQU"), "250 NOOP\r\n250 HELP\r\n");
    check(run_handler<CountingHandler>("now\nthen\n"), "1: now\n2: then\n");
    check(run_handler<TickingHandler>(""), "tick 1\ntick 2\ntick 3\n");
    check(run_handler<SumHandler>("1\n2\n39").value(), "42\n");
    check(run_handler<EveryOtherHandler>("").value(), "one");
    std::map<std::string, std::string, std::less<>> names{{"red", "#ff0000"}};
    check(run_handler<LookupHandler>("red\nblue\n", [&] { return LookupHandler{names}; }),
          "#ff0000\n?\n");

    NumberingServer numbering{{"127.0.0.1", 0}};
    const std::jthread counting{[&](std::stop_token stop) { numbering.serve_forever(stop); }};
    for (const char* expected : {"1 one\n", "2 one\n"}) {
        ss::Socket guest = ss::create_connection(numbering.server_address());
        guest.settimeout(std::chrono::seconds{10});
        guest.sendall("one\n");
        check(std::string{ss::BufferedReader{guest}.readline()}, expected);
    }

    ss::ThreadingTCPServer<TunedHandler> tuned{{"127.0.0.1", 0}};
    const std::jthread tuning{[&](std::stop_token stop) { tuned.serve_forever(stop); }};
    ss::Socket tuned_client = ss::create_connection(tuned.server_address());
    check(ss::BufferedReader{tuned_client}.read(), "type of service 16\n");

    ss::ThreadingTCPServer<TunnelHandler> tunnel{{"127.0.0.1", 0}};
    const std::jthread tunnelling{[&](std::stop_token stop) { tunnel.serve_forever(stop); }};
    ss::Socket guest = ss::create_connection(tunnel.server_address());
    guest.settimeout(std::chrono::seconds{10});
    guest.sendall(fmt::format("{}\none\n", numbering.server_address().port()));  // at once
    guest.shutdown(ss::ShutdownHow::write);
    check(ss::BufferedReader{guest}.read(), "connected\n3 one\n");

    ss::TCPServer<PatientHandler> server{
        {"127.0.0.1", 0}, {}, [] { return PatientHandler{std::chrono::milliseconds{10}}; }};
    const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};
    ss::Socket client = ss::create_connection(server.server_address());
    client.settimeout(std::chrono::seconds{10});
    check(ss::BufferedReader{client}.read(), "still there?\nstill there?\nstill there?\n");
}
