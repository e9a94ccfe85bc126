// SPDX-License-Identifier: MIT
// A server class of one's own: state that the handlers share, an error hook, and work in each turn
// of the loop. Try: nc localhost 9999, then "count", "fail" or a word.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <atomic>
#include <stdexcept>

namespace ss = socketserver;

// [own_server]
class CountingHandler : public ss::StreamRequestHandler {
    void handle() override;
};

class CountingServer : public ss::ThreadingTCPServer<CountingHandler> {
  public:
    using TCPServer::TCPServer;
    ~CountingServer() override { server_close(); }  // before the counters go

    std::atomic<int> lines{0}, failed{0}, turns{0};

  protected:
    void handle_error(ss::Socket&, const ss::Address& client_address,
                      std::exception_ptr error) override {
        ++failed;
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& exception) {
            fmt::print("{} failed: {}\n", client_address.host(), exception.what());
        }
    }
    void service_actions() override { ++turns; }  // after each request, and twice a second
};

void CountingHandler::handle() {
    auto& own = server<CountingServer>();
    for (std::string_view line : rfile()) {
        ++own.lines;
        if (line == "fail\n") throw std::runtime_error("as asked");
        if (line == "count\n") {
            wfile().print("{} lines, {} failures\n", own.lines.load(), own.failed.load());
        } else {
            wfile().write(line);
        }
    }
}
// [own_server]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    CountingServer server{{"localhost", port}};
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
    fmt::print("{} turns of the loop\n", server.turns.load());
}
