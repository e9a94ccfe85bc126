// SPDX-License-Identifier: MIT
#include "client.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

namespace load {
namespace {

constexpr std::uint32_t open_window = 64;  // connections that wait for their first reply
constexpr int step_ms = 10;

std::int64_t to_ns(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

}  // namespace

std::int64_t now_ns() {
    return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds{1};
}

Client::Client(const Options& options)
    : options_{options},
      endpoint_{options.address, options.mode == Mode::udp},
      lines_{options.length, options.pipeline},
      connections_(options.connections),
      buffer_(std::max<std::size_t>(lines_.size() + 1, 64 * 1024)),
      events_(512),
      epoll_{::epoll_create1(EPOLL_CLOEXEC)} {}

Client::~Client() { ::close(epoll_); }

void Client::open_all() {
    const Next wanted = next;
    // A connection of a server that serves one at a time must not wait for the next one.
    if (wanted != Next::reconnect) next = Next::rest;
    last_progress_ = now_ns();
    for (std::uint32_t started = 0; answered_ < connections_.size(); step()) {
        while (started < connections_.size() && started - answered_ < open_window) open(started++);
    }
    next = wanted;
    if (next != Next::repeat) return;
    for (std::uint32_t i = 0; i < connections_.size(); ++i) start_turn(i);
}

void Client::run_for(double seconds) {
    for (const std::int64_t end = now_ns() + to_ns(seconds); now_ns() < end;) step();
}

void Client::drain() {
    while (outstanding_ > 0) step();
}

void Client::step() {
    const int count =
        ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), step_ms);
    for (int i = 0; i < count; ++i) {
        const auto& event = events_[static_cast<std::size_t>(i)];
        on_event(event.data.u32, event.events);
    }
    if (count > 0) return;
    if (outstanding_ == 0) {
        last_progress_ = now_ns();
    } else if (now_ns() - last_progress_ > to_ns(options_.timeout)) {
        std::fprintf(stderr, "load: no reply for %g s, %u outstanding\n", options_.timeout,
                     outstanding_);
        std::exit(1);
    }
}

void Client::open(std::uint32_t index) {
    Connection& connection = connections_[index];
    const int fd = endpoint_.connect(opened_++);
    if (fd < 0) fail(index, "connect", errno);
    connection.stream = Stream{fd, options_.tls};
    connection.connecting = true;
    connection.waiting = true;
    connection.sent = connection.received = 0;
    connection.began = now_ns();
    ++outstanding_;
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u32 = index;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
        fail(index, "epoll_ctl", errno);
    }
}

void Client::close(Connection& connection) { connection.stream = {}; }

void Client::on_event(std::uint32_t index, std::uint32_t events) {
    Connection& connection = connections_[index];
    if (connection.connecting) {
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(connection.stream.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) fail(index, "connect", error);
        if ((events & EPOLLOUT) == 0) return;
        connection.connecting = false;
    }
    if (!connection.waiting && (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) {
        fail(index, "unasked data or end of connection");
    }
    if (connection.sent < lines_.size() && connection.waiting) send_some(index);
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLERR)) != 0) receive_some(index);
}

void Client::start_turn(std::uint32_t index) {
    Connection& connection = connections_[index];
    connection.sent = connection.received = 0;
    connection.waiting = true;
    connection.began = now_ns();
    ++outstanding_;
    send_some(index);
}

void Client::send_some(std::uint32_t index) {
    Connection& connection = connections_[index];
    const auto rest = lines_.batch(index, connection.turn).substr(connection.sent);
    const ssize_t sent = connection.stream.send(rest);
    if (sent >= 0) {
        connection.sent += static_cast<std::uint32_t>(sent);
    } else if (errno != EAGAIN) {
        fail(index, "send", errno);
    }
}

void Client::receive_some(std::uint32_t index) {
    Connection& connection = connections_[index];
    for (;;) {
        const ssize_t got = connection.stream.recv(buffer_.data(), buffer_.size());
        if (got < 0 && errno == EAGAIN) return;
        if (got < 0) fail(index, "recv", errno);
        if (got == 0) fail(index, "the server closed the connection");
        const auto expected = lines_.batch(index, connection.turn).substr(connection.received);
        const auto size = static_cast<std::size_t>(got);
        if (size > expected.size() || std::memcmp(buffer_.data(), expected.data(), size) != 0) {
            fail(index, "WRONG REPLY");
        }
        connection.received += static_cast<std::uint32_t>(size);
        if (connection.received == lines_.size()) return finish_turn(index);
        // A short read means drained, and the rest brings an event of its own.
        if (size < buffer_.size() && !options_.tls) return;
    }
}

void Client::finish_turn(std::uint32_t index) {
    Connection& connection = connections_[index];
    if (connection.sent < lines_.size()) fail(index, "WRONG REPLY: more than was sent");
    const std::int64_t now = now_ns();
    latency.add(static_cast<std::uint64_t>(now - connection.began));
    last_progress_ = now;
    requests += options_.pipeline;
    --outstanding_;
    connection.waiting = false;
    if (connection.turn++ == 0) ++answered_;
    switch (next) {
        case Next::repeat:
            return start_turn(index);
        case Next::reconnect:
            close(connection);
            return open(index);
        case Next::close:  // a server that serves one at a time must come to those that wait
            return close(connection);
        case Next::rest:
            return;
    }
}

void Client::fail(std::uint32_t index, const char* what, int error) {
    std::fprintf(stderr, "load: connection %u, turn %u: %s%s%s\n", index, connections_[index].turn,
                 what, error != 0 ? ": " : "", error != 0 ? std::strerror(error) : "");
    std::exit(1);
}

}  // namespace load
