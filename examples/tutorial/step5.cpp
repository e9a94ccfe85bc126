// SPDX-License-Identifier: MIT
// Tutorial, step 5: a limit for the time that a client takes, and for the lines that it sends.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

namespace ss = socketserver;

class Quotes {
  public:
    void add(std::string quote) {
        const std::lock_guard lock{mutex_};
        quotes_.push_back(std::move(quote));
    }
    std::string next() {
        const std::lock_guard lock{mutex_};
        return quotes_[turn_++ % quotes_.size()];
    }

  private:
    std::mutex mutex_;
    std::vector<std::string> quotes_{"Well begun is half done."};
    std::size_t turn_ = 0;
};

// [handler]
class QuoteHandler : public ss::StreamRequestHandler {
  public:
    QuoteHandler(Quotes& quotes, std::chrono::seconds patience) : quotes_{quotes} {
        timeout = patience;  // of each operation on the connection
    }

  private:
    void handle() override {
        try {
            talk();
        } catch (const ss::TimeoutError&) {
            wfile().write("goodbye: you have been silent for too long\n");
        } catch (const ss::LineTooLong&) {
            wfile().write("goodbye: a line has 512 bytes at most\n");
        }
    }

    void talk() {
        for (;;) {
            std::string_view line = rfile().readline(512);
            if (line.empty()) return;  // the client has ended its side
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
// [handler]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    const std::chrono::seconds patience{argc > 2 ? std::atoi(argv[2]) : 60};
    Quotes quotes;
    ss::ThreadingTCPServer<QuoteHandler> server{{"localhost", port}, {}, [&] {
                                                    return QuoteHandler{quotes, patience};
                                                }};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
