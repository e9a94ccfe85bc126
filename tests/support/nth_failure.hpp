// SPDX-License-Identifier: MIT
// Lets the n-th of the things that may fail in a session fail, under any policy, and sees what that
// costs: one request at most, never the server.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/serving.hpp"

namespace socketserver::tests {

/// Counts what may fail, in every thread but those that are spared, and says what does.
class Fault {
  public:
    static constexpr long never = 1'000'000'000;

    /// From now on the `first` one fails, and those behind it, `count` in all.
    static void arm(long first, long count) {
        static const int at_fork = ::pthread_atfork(nullptr, nullptr, enter_child);
        if (at_fork != 0) throw std::runtime_error("pthread_atfork");
        counted_ = 0;
        first_ = first;
        count_ = count;
        is_armed_ = true;
    }
    /// How many there were.
    static long disarm() {
        is_armed_ = false;
        return counted_;
    }
    static bool is_due() noexcept {
        if (!is_armed()) return false;
        const long number = ++counted_;
        return number >= first_ && number < first_ + count_;
    }
    /// In a thread that is not spared.
    static bool is_armed() noexcept { return is_armed_ && !is_spared; }
    /// Of thread_local objects, meanwhile.
    static inline std::atomic<int> noted_destructors{0};
    /// Of a thread of the test.
    static inline thread_local bool is_spared = false;

  private:
    // The parent is attacked; what fails in a child costs that child.
    static void enter_child() { is_armed_ = false; }

    static inline std::atomic<bool> is_armed_{false};
    static inline std::atomic<long> counted_{0};
    static inline std::atomic<long> first_{never};
    static inline std::atomic<long> count_{0};
};

/// What is printed meanwhile goes nowhere: hundreds of errors are planned.
class SilentStderr {
  public:
    SilentStderr() : stderr_{::dup(STDERR_FILENO)} {
        const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
        ::dup2(null, STDERR_FILENO);
        ::close(null);
    }
    SilentStderr(const SilentStderr&) = delete;
    SilentStderr& operator=(const SilentStderr&) = delete;
    ~SilentStderr() {
        ::dup2(stderr_, STDERR_FILENO);
        ::close(stderr_);
    }

  private:
    int stderr_;
};

/// Longer than a string that needs no memory.
inline const std::string long_line = "a line that is longer than what a short string can hold\n";

class FaultHandler : public StreamRequestHandler {
    void setup() override {
        timeout = patience;
        StreamRequestHandler::setup();
    }
    void handle() override {
        const std::string line{rfile().readline()};
        if (line == "fail\n") throw std::runtime_error("planned, with a text that is not short");
        if (line == "end\n") ::_exit(3);  // of a process of its own
        wfile().write(line);
    }
};
class FaultDatagramHandler : public DatagramRequestHandler {
    void handle() override {
        const std::string line{rfile().readline()};
        if (line == "fail\n") throw std::runtime_error("planned, and not short either");
        wfile().write(line);
    }
};

/// Counts its turns, and the connections that began and ended.
template <class Base>
class Attacked : public Base {
  public:
    using Base::Base;
    ~Attacked() override { this->server_close(); }
    std::atomic<int> turns{0};
    std::atomic<int> open{0};

  protected:
    void service_actions() override { ++turns; }
    void connection_opened(const Address&) override { ++open; }
    void connection_closed(const Address&, CloseReason, std::chrono::nanoseconds) override {
        --open;
    }
};

/// A client of the session. It may be served, or lose its connection; it may not hang.
inline void visit(const Address& address, std::string_view line) {
    Socket client = connect(address);
    try {
        client.sendall(line);
        read_to_end(client);
    } catch (const std::system_error& error) {
        if (error.code() != std::errc::broken_pipe && error.code() != std::errc::connection_reset) {
            throw;
        }
    }
}

/// Waits until all that was sent has been taken from the kernel and has ended.
template <class Server>
bool is_at_rest(const Server& server) {
    return eventually([&] { return server.statistics().active == 0; });
}

/// What was taken from the kernel, lost or not: every connection is counted.
inline std::uint64_t taken(const Statistics& statistics) {
    return statistics.accepted + statistics.accept_errors;
}

template <class Server>
void stream_session(Server& server) {
    const Address address = server.server_address();
    visit(address, long_line);
    visit(address, "fail\n");
    CHECK(is_at_rest(server));
    CHECK(taken(server.statistics()) >= 2);
}

/// With others that keep their connections meanwhile, for policies that bear it: they take further
/// threads, and places in the queue.
template <class Server>
void crowded_session(Server& server) {
    const Address address = server.server_address();
    std::array<Socket, 3> silent{connect(address), connect(address), connect(address)};
    silent[0].shutdown(ShutdownHow::write);
    visit(address, "fail\n");
    silent[1].shutdown(ShutdownHow::write);
    visit(address, long_line);
    silent[2].close();
    for (Socket* each : {&silent[0], &silent[1]}) read_to_end(*each);
    CHECK(is_at_rest(server));
    CHECK(taken(server.statistics()) >= 5);
}

template <class Server>
void datagram_session(Server& server) {
    // One after the other: each is answered, fails, or is lost and counted.
    const Address address = server.server_address();
    Socket client{address, SocketType::datagram};
    client.settimeout(patience);
    // Named, and so long that a copy of the name needs memory.
    if (address.is_unix()) client.bind("@" + own_name("a client with a long name"));
    client.connect(address);
    for (const std::string_view line : {std::string_view{long_line}, std::string_view{"fail\n"}}) {
        const auto before = taken(server.statistics());
        client.sendall(line);
        CHECK(eventually([&] { return taken(server.statistics()) > before; }));
    }
    CHECK(is_at_rest(server));
}

/// Whether all of them are tried, and not a sample that takes a few seconds.
inline bool tries_all() { return std::getenv("SOCKETSERVER_TEST_ALL") != nullptr; }

struct Attack {
    std::function<void(long first, long count)> arm = Fault::arm;
    long most_samples = 24;
    long burst = 1;
};

/// One session with one fault. @return how many things might have failed in it.
template <class Server, class Session, class Check>
long attack_once(const Attack& attack, long number, Server& server, Session session, Check check) {
    ServingThread serving{server};
    REQUIRE(eventually([&] {
        server.wake_loop();
        return server.turns > 0;
    }));
    attack.arm(number, attack.burst);
    session(server);
    const long counted = Fault::disarm();
    CHECK_FALSE(serving.ended());
    CHECK(Fault::noted_destructors == 0);
    check(server);  // the next client is served
    CHECK(is_at_rest(server));
    CHECK(eventually([&] { return server.open == 0; }));
    serving.stop();
    CHECK_FALSE(serving.error());
    return counted;
}

/// Every n, or a sample: a server each, which leaves nothing behind.
template <class Make, class Session, class Check>
void attack_each(const Attack& attack, Make make, Session session, Check check) {
    Fault::is_spared = true;
    const SilentStderr silent;
    const Counts before;
    const auto run = [&](long number) {
        CAPTURE(number, attack.burst);
        auto server = make();
        return attack_once(attack, number, *server, session, check);
    };
    const long total = run(Fault::never);
    const long step = tries_all() ? 1 : std::max(1L, total / attack.most_samples);
    for (long number = 1; number <= total; number += step) {
        run(number);
        if (open_descriptors() != before.descriptors) break;
    }
    CHECK(before.are_back());
    Fault::is_spared = false;
}

/// For what comes after an attack.
inline void serves(const ServerBase& server) {
    CHECK(ask(server.server_address(), long_line) == long_line);
}

template <template <class> class MixIn>
auto make_tcp() {
    return std::make_unique<Attacked<TCPServer<FaultHandler, MixIn>>>(any_port);
}

}  // namespace socketserver::tests
