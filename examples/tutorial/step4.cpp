// SPDX-License-Identifier: MIT
// Tutorial, step 4: a thread for each client, and the lock that this needs.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <mutex>
#include <string>
#include <vector>

namespace ss = socketserver;

// [quotes]
class Quotes {
  public:
    void add(std::string quote) {
        const std::lock_guard lock{mutex_};
        quotes_.push_back(std::move(quote));
    }
    std::string next() {  // no reference: it would be used without the lock
        const std::lock_guard lock{mutex_};
        return quotes_[turn_++ % quotes_.size()];
    }

  private:
    std::mutex mutex_;
    std::vector<std::string> quotes_{"Well begun is half done."};
    std::size_t turn_ = 0;
};
// [quotes]

class QuoteHandler : public ss::StreamRequestHandler {
  public:
    explicit QuoteHandler(Quotes& quotes) : quotes_{quotes} {}

  private:
    void handle() override {
        for (std::string_view line : rfile()) {
            line.remove_suffix(line.ends_with('\n') ? 1 : 0);
            if (line == "get") {
                wfile().print("{}\n", quotes_.next());
            } else if (line.starts_with("add ")) {
                quotes_.add(std::string{line.substr(4)});
                wfile().write("added\n");
            } else {
                wfile().print("unknown: {}\n", line);
            }
        }
    }

    Quotes& quotes_;
};

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    Quotes quotes;
    // [server]
    ss::ThreadingTCPServer<QuoteHandler> server{
        {"localhost", port}, {}, [&] { return QuoteHandler{quotes}; }};
    // [server]
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
