// SPDX-License-Identifier: MIT
#pragma once

#include <socketserver/socketserver.hpp>

#include <mutex>
#include <string>
#include <string_view>
#include <vector>

/// Tutorial: the quotes that all clients share, and what they may ask for.
///
/// Thread safety: all members may be called from any thread.
class Quotes {
  public:
    // [answer]
    /// The answer to one line of a client, without the line's end.
    std::string answer(std::string_view line) {
        line.remove_suffix(line.ends_with('\n') ? 1 : 0);
        const std::lock_guard lock{mutex_};
        if (line == "get") return quotes_[turn_++ % quotes_.size()];
        if (!line.starts_with("add ")) return "unknown: " + std::string{line};
        quotes_.emplace_back(line.substr(4));
        return "added";
    }
    // [answer]

    std::size_t count() const {
        const std::lock_guard lock{mutex_};
        return quotes_.size();
    }

  private:
    mutable std::mutex mutex_;
    std::vector<std::string> quotes_{"Well begun is half done."};
    std::size_t turn_ = 0;
};

// [handlers]
class QuoteHandler : public socketserver::StreamRequestHandler {
  public:
    explicit QuoteHandler(Quotes& quotes) : quotes_{quotes} { timeout = std::chrono::seconds{60}; }

  private:
    void handle() override {
        for (;;) {
            const std::string_view line = rfile().readline(512);
            if (line.empty()) return;
            wfile().print("{}\n", quotes_.answer(line));
        }
    }

    Quotes& quotes_;
};

class QuoteDatagramHandler : public socketserver::DatagramRequestHandler {
  public:
    explicit QuoteDatagramHandler(Quotes& quotes) : quotes_{quotes} {}

  private:
    void handle() override { wfile().print("{}\n", quotes_.answer(rfile().readline())); }

    Quotes& quotes_;
};
// [handlers]
