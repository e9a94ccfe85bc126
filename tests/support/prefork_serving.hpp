// SPDX-License-Identifier: MIT
// A prefork server whose workers do what their clients tell them.
#pragma once

#include <array>
#include <atomic>
#include <csignal>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

#include "support/connected_sockets.hpp"
#include "support/serving.hpp"

namespace socketserver::tests {

/// What handlers in the workers tell the test, and the other way round.
struct Board {
    std::atomic<int> accepted{0};
    std::atomic<int> served{0};
    std::atomic<int> ended{0};
    std::atomic<int> waiting{0};
    std::atomic<bool> open{false};
    std::atomic<bool> dies_at_once{false};
    std::atomic<int> port{0};
    std::array<std::atomic<int>, 8> pids{};
};

/// Does what each line says, until the client closes.
class Obedient : public StreamRequestHandler {
  public:
    explicit Obedient(Board& board) : board_{board} {}

  private:
    void handle() override {
        for (std::string_view line = rfile().readline(); !line.empty(); line = rfile().readline()) {
            if (line == "pid\n") {
                wfile().print("{}\n", ::getpid());
            } else if (line == "wait\n") {
                ++board_.waiting;
                eventually([this] { return board_.open.load(); });
                wfile().write("waited\n");
            } else if (line == "crash\n") {
                std::signal(SIGSEGV, SIG_DFL);  // whatever a sanitizer has put there
                std::raise(SIGSEGV);
            } else if (line == "shutdown\n") {
                server().shutdown();
                server().server_close();
                wfile().write("shutdown\n");
            } else {
                wfile().write(line);
            }
        }
        ++board_.ended;
    }
    Board& board_;
};

/// A server of such handlers that records what fails outside of requests.
template <template <class> class MixIn = PreforkMixIn>
class PreforkServer : public TCPServer<Obedient, MixIn> {
    using Base = TCPServer<Obedient, MixIn>;

  public:
    explicit PreforkServer(Board& board)
        : Base{any_port, {}, [&board] { return Obedient{board}; }}, board_{board} {
        this->workers = 2;
    }
    PreforkServer(const PreforkServer&) = delete;
    PreforkServer& operator=(const PreforkServer&) = delete;
    ~PreforkServer() override {
        board_.open = true;
        this->server_close();
    }

    std::vector<std::string> errors() const {
        const std::lock_guard lock{mutex_};
        return errors_;
    }

  private:
    bool verify_request(const Socket&, const Address&) override {
        ++board_.accepted;
        return true;
    }
    void service_actions() override {
        if (::getpid() != parent_ && board_.dies_at_once) ::_exit(3);
    }
    void handle_server_error(std::exception_ptr error) override {
        const std::lock_guard lock{mutex_};
        errors_.push_back(text_of([&] { std::rethrow_exception(error); }));
    }

    Board& board_;
    const pid_t parent_ = ::getpid();
    mutable std::mutex mutex_;
    std::vector<std::string> errors_;
};

inline int pid_of(Socket& client) { return std::stoi(ask(client, "pid\n")); }

/// The answer of a connection may be an end or a reset: its worker died.
inline bool is_cut_off(Socket& client) { return read_to_end(client).empty(); }

}  // namespace socketserver::tests
