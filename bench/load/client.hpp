// SPDX-License-Identifier: MIT
#pragma once

#include "endpoint.hpp"
#include "histogram.hpp"
#include "lines.hpp"
#include "options.hpp"
#include "stream.hpp"

#include <cstdint>
#include <sys/epoll.h>
#include <vector>

namespace load {

std::int64_t now_ns();

// Many connections in one epoll loop. Each takes turns: send a batch of lines, wait for the same
// bytes, check them.
class Client {
  public:
    // What a connection does after a turn.
    enum class Next { repeat, reconnect, close, rest };

    explicit Client(const Options& options);
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    // Opens every connection and waits for its first reply. Only a few are on their way at any
    // time: a full backlog drops connections, and each such loss would cost a second.
    void open_all();

    // Handles events for at most so long.
    void run_for(double seconds);
    // Handles what is ready, or waits a little.
    void step();
    // Waits until no reply is outstanding.
    void drain();
    // A connection that rests takes one more turn.
    void start_turn(std::uint32_t connection);

    Next next = Next::repeat;
    std::uint64_t requests = 0;
    Histogram latency;

  private:
    struct Connection {
        Stream stream;
        std::uint32_t turn = 0;
        std::uint32_t sent = 0;
        std::uint32_t received = 0;
        std::int64_t began = 0;
        bool connecting = false;
        bool waiting = false;
    };

    void open(std::uint32_t connection);
    void close(Connection& connection);
    void on_event(std::uint32_t connection, std::uint32_t events);
    void send_some(std::uint32_t connection);
    void receive_some(std::uint32_t connection);
    void finish_turn(std::uint32_t connection);
    [[noreturn]] void fail(std::uint32_t connection, const char* what, int error = 0);

    Options options_;
    Endpoint endpoint_;
    Lines lines_;
    std::vector<Connection> connections_;
    std::vector<char> buffer_;
    std::vector<epoll_event> events_;
    int epoll_;
    std::uint32_t outstanding_ = 0;
    std::uint32_t answered_ = 0;  // connections that have had a first reply
    std::uint32_t opened_ = 0;    // sockets so far: picks the source address
    std::int64_t last_progress_ = 0;
};

}  // namespace load
