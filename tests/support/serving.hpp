// SPDX-License-Identifier: MIT
// Servers and clients for tests: run a server beside the test, talk to it, stop it, in bounded
// time.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include "socketserver/socketserver.hpp"
#include "support/sanitizers.hpp"

namespace socketserver::tests {

using namespace std::chrono_literals;

inline const Address any_port{"127.0.0.1", 0};

/// How long a test waits for what is sure to come, on the slowest machine.
inline constexpr std::chrono::seconds patience{30};

/// Ends the program by SIGALRM if the test that made it lasts too long: the bound of every wait
/// that has none of its own. SOCKETSERVER_TEST_TIME_FACTOR makes it so many times as long, for an
/// emulator.
class TimeLimit {
  public:
    explicit TimeLimit(unsigned seconds = 50) {
        const char* const factor = std::getenv("SOCKETSERVER_TEST_TIME_FACTOR");
        ::alarm(seconds * (factor == nullptr ? 1 : static_cast<unsigned>(std::stoul(factor))));
    }
    TimeLimit(const TimeLimit&) = delete;
    TimeLimit& operator=(const TimeLimit&) = delete;
    ~TimeLimit() { ::alarm(0); }
};

/// Waits for a condition that nothing signals, such as a number in /proc. False: it never came.
template <class Condition>
bool eventually(Condition condition, std::chrono::seconds limit = patience) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

/// Whether a server gets so many worker processes in time.
bool has_workers(const auto& server, std::size_t count, std::chrono::seconds limit = patience) {
    return eventually([&] { return server.worker_pids().size() == count; }, limit);
}

/// Runs serve_forever() of a server in a thread of its own, until stop() or the end of the scope.
class ServingThread {
  public:
    /// Worker processes are there first where they must not be forked while the test allocates. One
    /// second, because a test may be about workers that never come.
    template <class Server>
    explicit ServingThread(Server& server, std::chrono::milliseconds poll_interval = 10s)
        : ServingThread{static_cast<socketserver::ServerBase*>(&server), poll_interval} {
        if constexpr (!may_fork_beside_allocating_threads && requires { server.worker_pids(); }) {
            has_workers(server, server.workers, 1s);
        }
    }
    ServingThread(const ServingThread&) = delete;
    ServingThread& operator=(const ServingThread&) = delete;
    ~ServingThread() { stop(); }

    void stop() {
        if (!thread_.joinable()) return;
        if (!ended_) server_.shutdown();
        thread_.join();
    }
    /// Waits for a serve that something else ends.
    void join() { thread_.join(); }
    bool ended() const { return ended_; }
    /// What serve_forever() threw. After stop() or join().
    std::exception_ptr error() const { return error_; }

  private:
    ServingThread(socketserver::ServerBase* server, std::chrono::milliseconds poll_interval)
        : server_{*server}, thread_{[this, poll_interval] {
              try {
                  server_.serve_forever(poll_interval);
              } catch (...) {
                  error_ = std::current_exception();
              }
              ended_ = true;
          }} {}

    socketserver::ServerBase& server_;
    std::exception_ptr error_;
    std::atomic<bool> ended_{false};
    std::thread thread_;
};

/// Calls server_close() in a thread of its own. Made when that call has begun.
class ClosingThread {
  public:
    explicit ClosingThread(socketserver::ServerBase& server)
        : thread_{[this, &server] {
              begun_ = true;
              server.server_close();
              closed_ = true;
          }} {
        eventually([this] { return begun_.load(); });
    }
    ClosingThread(const ClosingThread&) = delete;
    ClosingThread& operator=(const ClosingThread&) = delete;
    bool begun() const { return begun_; }
    bool closed() const { return closed_; }
    void join() { thread_.join(); }

  private:
    std::atomic<bool> begun_{false};
    std::atomic<bool> closed_{false};
    std::jthread thread_;
};

/// A value that forked children share with this process. Only atomics in it mean something.
template <class T>
class Shared {
  public:
    Shared() {
        void* memory =
            ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        value_ = new (memory) T{};
    }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;
    ~Shared() {
        value_->~T();
        ::munmap(value_, sizeof(T));
    }
    T& operator*() const { return *value_; }
    T* operator->() const { return value_; }

  private:
    T* value_;
};

/// A connected client whose operations end within the patience of a test.
inline socketserver::Socket connect(
    const socketserver::Address& address,
    socketserver::SocketType type = socketserver::SocketType::stream) {
    return socketserver::create_connection(address, type, patience);
}

/// Sends a line, or a datagram, and returns the one that comes back.
inline std::string ask(socketserver::Socket& client, std::string_view line) {
    client.sendall(line);
    const std::size_t more = std::max<std::size_t>(line.size(), 1024);  // than is expected
    std::string reply;
    while (reply.size() < line.size()) {
        const std::string part = client.recv(more);
        if (part.empty()) break;
        reply += part;
    }
    return reply;
}

/// The same with a client of its own.
inline std::string ask(const socketserver::Address& address, std::string_view line,
                       socketserver::SocketType type = socketserver::SocketType::stream) {
    socketserver::Socket client = connect(address, type);
    return ask(client, line);
}

/// Everything up to the end of the connection, whether the server ends it in order or resets it.
inline std::string read_to_end(socketserver::Socket& client) {
    std::string all;
    try {
        for (std::string part = client.recv(65536); !part.empty(); part = client.recv(65536)) {
            all += part;
        }
    } catch (const std::system_error& error) {
        if (error.code() != std::errc::connection_reset) throw;
    }
    return all;
}

/// Sends the first line of a request back. `Base` is one of the two file-like handlers.
template <class Base>
class EchoLine : public Base {
  protected:
    void handle() override { this->wfile().write(this->rfile().readline()); }
};
using StreamEcho = EchoLine<socketserver::StreamRequestHandler>;
using DatagramEcho = EchoLine<socketserver::DatagramRequestHandler>;

/// Counts the errors that belong to no request.
class ErrorCountingServer : public TCPServer<StreamEcho, ThreadingMixIn> {
  public:
    ErrorCountingServer() : TCPServer{any_port} {}
    ~ErrorCountingServer() override { server_close(); }
    std::atomic<int> errors{0};

  protected:
    void handle_server_error(std::exception_ptr) override { ++errors; }
};

/// Echoes lines until the client ends; half a line is an unfinished request.
class EchoLines : public StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

}  // namespace socketserver::tests
