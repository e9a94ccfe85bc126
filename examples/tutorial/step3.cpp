// SPDX-License-Identifier: MIT
// Tutorial, step 3: what all handlers share comes through a factory.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <string>
#include <vector>

namespace ss = socketserver;

// [quotes]
class Quotes {
  public:
    void add(std::string quote) { quotes_.push_back(std::move(quote)); }
    const std::string& next() { return quotes_[turn_++ % quotes_.size()]; }

  private:
    std::vector<std::string> quotes_{"Well begun is half done."};
    std::size_t turn_ = 0;
};

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
                quotes_.add(std::string{line.substr(4)});  // a copy: the view is soon invalid
                wfile().write("added\n");
            } else {
                wfile().print("unknown: {}\n", line);
            }
        }
    }

    Quotes& quotes_;
};
// [quotes]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    // [factory]
    Quotes quotes;
    ss::TCPServer<QuoteHandler> server{
        {"localhost", port}, {}, [&] { return QuoteHandler{quotes}; }};
    // [factory]
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
