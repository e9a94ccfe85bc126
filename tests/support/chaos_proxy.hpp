// SPDX-License-Identifier: MIT
// A proxy that makes a network of the worst kind: it delays, cuts into single bytes, ends, resets
// and swallows, and connects in another order than its clients did.
#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <list>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "support/connected_sockets.hpp"
#include "support/random_serving.hpp"

namespace socketserver::tests {

/// Runs in a thread of its own until it is destroyed. The same seed and the same order of clients
/// give the same faults.
class ChaosProxy {
  public:
    ChaosProxy(const Address& target, unsigned seed) : target_{target}, random_{seed} {
        thread_ = std::jthread{[this](const std::stop_token& stop) { run(stop); }};
    }
    ChaosProxy(const ChaosProxy&) = delete;
    ChaosProxy& operator=(const ChaosProxy&) = delete;
    ~ChaosProxy() {
        thread_.request_stop();
        reset(wake_.far);
    }

    /// Whoever connects here gets everything, late or in single bytes.
    Address gentle_address() const { return gentle_.getsockname(); }
    /// Here the connection may also be ended, reset or swallowed, after any byte.
    Address cruel_address() const { return cruel_.getsockname(); }

  private:
    using Clock = std::chrono::steady_clock;
    enum class Fault : unsigned char { none, delays, single_bytes, cut, reset, black_hole };

    /// From one end to the other.
    struct Way {
        std::string held{};
        bool is_ended = false;
        bool is_end_passed = false;
        Clock::time_point not_before{};
    };
    struct Link {
        std::array<Socket, 2> ends;
        Fault fault;
        std::size_t fault_after;  // bytes, in both directions
        std::size_t passed = 0;
        Clock::time_point ends_at = Clock::time_point::max();
        std::array<Way, 2> ways{};  // from ends[0], and from ends[1]
    };
    struct Waiting {
        Socket client;
        bool is_gentle;
        Clock::time_point until;
    };

    void run(const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            const Clock::time_point next = step();
            wait_until(next);
        }
    }

    /// Does what can be done now; returns when there is more to do, whatever comes.
    Clock::time_point step() {
        accept_from(gentle_, true);
        accept_from(cruel_, false);
        const Clock::time_point now = Clock::now();
        Clock::time_point next = now + std::chrono::seconds{1};
        while (!waiting_.empty() && (waiting_.size() > 1 || waiting_.front().until <= now)) {
            // Of two that wait, the later one comes first.
            const bool is_reversed = waiting_.size() > 1 && random_.once_in(2);
            const auto chosen = is_reversed ? std::prev(waiting_.end()) : waiting_.begin();
            link(std::move(*chosen));
            waiting_.erase(chosen);
        }
        if (!waiting_.empty()) next = std::min(next, waiting_.front().until);
        for (auto link = links_.begin(); link != links_.end();) {
            const bool goes_on = serve(*link, now, next);
            link = goes_on ? std::next(link) : links_.erase(link);
        }
        return next;
    }

    void accept_from(Socket& listening, bool is_gentle) {
        for (;;) {
            const int client = ::accept4(listening.fileno(), nullptr, nullptr, SOCK_CLOEXEC);
            if (client == -1) return;
            waiting_.push_back({Socket{client}, is_gentle,
                                Clock::now() + std::chrono::milliseconds{random_.below(10)}});
        }
    }

    void link(Waiting waiting) {
        std::optional<Socket> server;
        try {
            server = create_connection(target_);
        } catch (const std::system_error&) {
            return;  // the client sees that there is nobody
        }
        const int fault = random_.below(waiting.is_gentle ? 3 : 6);
        links_.push_back({.ends = {std::move(waiting.client), *std::move(server)},
                          .fault = static_cast<Fault>(fault),
                          .fault_after = static_cast<std::size_t>(random_.below(6000))});
        for (const Socket& each : links_.back().ends) {
            const int on = 1;  // what goes in single bytes shall arrive so
            ::setsockopt(each.fileno(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        }
    }

    /// False: the link has ended.
    bool serve(Link& link, Clock::time_point now, Clock::time_point& next) {
        if (link.ends_at <= now) {
            for (Socket& each : link.ends) tests::reset(each);
            return false;
        }
        if (link.ends_at != Clock::time_point::max()) {
            next = std::min(next, link.ends_at);
            return true;
        }
        for (std::size_t from = 0; from < 2; ++from) {
            Way& way = link.ways[from];
            if (!receive(link.ends[from], way, now, link.fault) ||
                !pass_on(link, way, link.ends[1 - from], now)) {
                for (Socket& each : link.ends) tests::reset(each);
                return false;
            }
            if (!way.held.empty()) next = std::min(next, std::max(now, way.not_before));
        }
        if (link.fault >= Fault::cut && link.passed >= link.fault_after) {
            if (link.fault == Fault::black_hole) {
                link.ends_at = now + std::chrono::milliseconds{50};
                next = std::min(next, link.ends_at);
                return true;
            }
            if (link.fault == Fault::reset) {
                for (Socket& each : link.ends) tests::reset(each);
            }
            return false;
        }
        return !link.ways[0].is_end_passed || !link.ways[1].is_end_passed;
    }

    /// False: the end has been reset.
    bool receive(const Socket& from, Way& way, Clock::time_point now, Fault fault) {
        std::array<char, 4096> buffer{};
        while (!way.is_ended && way.held.size() < buffer.size()) {
            const ssize_t got = ::recv(from.fileno(), buffer.data(), buffer.size(), MSG_DONTWAIT);
            if (got == -1) return errno == EAGAIN;
            way.is_ended = got == 0;
            if (way.held.empty() && fault == Fault::delays) {
                way.not_before = now + std::chrono::milliseconds{random_.below(5)};
            }
            way.held.append(buffer.data(), static_cast<std::size_t>(got));
        }
        return true;
    }

    bool pass_on(Link& link, Way& way, const Socket& to, Clock::time_point now) {
        while (!way.held.empty() && way.not_before <= now) {
            std::size_t size = link.fault == Fault::single_bytes ? 1 : way.held.size();
            if (link.fault >= Fault::cut) {
                size = std::min(size, link.fault_after - std::min(link.passed, link.fault_after));
                if (size == 0) return true;
            }
            const ssize_t sent =
                ::send(to.fileno(), way.held.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent == -1) return errno == EAGAIN;
            way.held.erase(0, static_cast<std::size_t>(sent));
            link.passed += static_cast<std::size_t>(sent);
            // The other connections have their turn in between.
            if (link.fault == Fault::single_bytes && random_.once_in(16)) return true;
        }
        if (way.is_ended && way.held.empty() && !std::exchange(way.is_end_passed, true)) {
            ::shutdown(to.fileno(), SHUT_WR);
        }
        return true;
    }

    void wait_until(Clock::time_point next) {
        std::vector<pollfd> all{{.fd = wake_.near.fileno(), .events = POLLIN, .revents = 0},
                                {.fd = gentle_.fileno(), .events = POLLIN, .revents = 0},
                                {.fd = cruel_.fileno(), .events = POLLIN, .revents = 0}};
        for (const Link& link : links_) {
            for (std::size_t from = 0; from < 2; ++from) {
                const Way& way = link.ways[from];
                if (way.is_ended || !way.held.empty()) continue;
                all.push_back({.fd = link.ends[from].fileno(), .events = POLLIN, .revents = 0});
            }
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
        ::poll(all.data(), all.size(), static_cast<int>(std::max<decltype(left)>(left, 0)));
    }

    static Socket listening() {
        Socket made = listening_on({"127.0.0.1", 0});
        ::fcntl(made.fileno(), F_SETFL, O_NONBLOCK);
        return made;
    }

    Address target_;
    Random random_;
    Pair wake_ = unix_pair();
    Socket gentle_ = listening();
    Socket cruel_ = listening();
    std::list<Waiting> waiting_{};
    std::list<Link> links_{};
    std::jthread thread_{};
};

}  // namespace socketserver::tests
