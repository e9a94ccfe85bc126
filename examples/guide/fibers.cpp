// SPDX-License-Identifier: MIT
// What docs/guide/fibers.md shows: a handler under threads and under fibers, and what fibers add.
#include <socketserver/fiber.hpp>
#include <socketserver/socketserver.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>

namespace ss = socketserver;

namespace {

// [handler]
class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};
// [handler]

std::string query_database(std::string_view key) { return "value of " + std::string{key}; }

// [blocking]
class LookupHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) {
            const std::string key{line};  // the view is valid until the next read
            wfile().write(ss::run_blocking([&] { return query_database(key); }));
        }
    }
};
// [blocking]

// [sibling]
class PairedEcho : public ss::StreamRequestHandler {
    void handle() override {
        ss::Queue<std::string> lines;
        ss::Fiber writer = ss::spawn([&] {
            while (const auto line = lines.pop()) wfile().write(*line);
        });
        try {
            for (std::string_view line : rfile()) lines.push(std::string{line});
        } catch (...) {
            lines.close();
            throw;
        }
        lines.close();
        writer.join();
    }
};
// [sibling]

// [until_gone]
/// Sends what happens elsewhere, until the client goes or there is nothing more.
class Subscriber : public ss::StreamRequestHandler {
  public:
    explicit Subscriber(ss::Queue<std::string>& events) : events_{events} {}

  private:
    void handle() override {
        for (;;) {
            const auto ready = ss::select({events_, ss::hung_up(connection())});
            if (ready[1]) return;
            const auto event = events_.pop();  // waits for nothing: nobody else takes from it
            if (!event) return;
            wfile().write(*event);
        }
    }
    ss::Queue<std::string>& events_;
};
// [until_gone]

template <class Server>
bool answers(Server& server, std::string_view line, std::string_view expected) {
    std::thread serving{[&] { server.serve_forever(); }};
    ss::Socket client = ss::create_connection(server.server_address());
    client.settimeout(std::chrono::seconds{20});
    client.sendall(line);
    ss::BufferedReader replies{client};
    const bool ok = replies.read(expected.size()) == expected;
    server.shutdown();
    serving.join();
    return ok;
}

/// A client that takes one event and goes; the server ends only when its handler has.
template <template <class> class MixIn>
bool tells_until_gone() {
    ss::Queue<std::string> events;
    ss::TCPServer<Subscriber, MixIn> server{
        {"127.0.0.1", 0}, {}, [&] { return Subscriber{events}; }};
    events.push("news\n");
    const bool told = answers(server, "", "news\n");
    server.server_close();  // waits for the handler, which ends because its client has gone
    return told;
}

}  // namespace

int main() {
    // [servers]
    ss::TCPServer<EchoHandler, ss::ThreadingMixIn> threads{{"127.0.0.1", 0}};
    ss::TCPServer<EchoHandler, ss::FiberMixIn> fibers{{"127.0.0.1", 0}};
    // [servers]
    // [options]
    fibers.workers = 2;                                      // default: the cores
    fibers.stack_size = std::size_t{512} * 1024;             // default: 256 KiB
    fibers.report_blocking = std::chrono::milliseconds{50};  // default: never
    // [options]
    ss::FiberTCPServer<LookupHandler> lookup{{"127.0.0.1", 0}};
    ss::FiberTCPServer<PairedEcho> paired{{"127.0.0.1", 0}};
    const bool ok =
        answers(threads, "a line\n", "a line\n") && answers(fibers, "a line\n", "a line\n") &&
        answers(lookup, "key\n", "value of key\n") && answers(paired, "a line\n", "a line\n") &&
        tells_until_gone<ss::FiberMixIn>() && tells_until_gone<ss::ThreadingMixIn>();
    std::puts(ok ? "ok" : "FAILED");
    return ok ? 0 : 1;
}
