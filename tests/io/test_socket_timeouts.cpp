// SPDX-License-Identifier: MIT
// How long the operations of a Socket wait, whatever interrupts them.
#include <sys/time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <utility>

#include "socketserver/errors.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"
#include "support/transfers.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::chrono_literals;

namespace {

/// Signals this process every two milliseconds, and none of its system calls is restarted.
class SignalStorm {
  public:
    SignalStorm() {
        struct sigaction counting {};
        counting.sa_handler = [](int) { count_ = count_ + 1; };
        ::sigaction(SIGALRM, &counting, &before_);
        count_ = 0;
        set(2000);
    }
    SignalStorm(const SignalStorm&) = delete;
    SignalStorm& operator=(const SignalStorm&) = delete;
    ~SignalStorm() {
        set(0);
        ::sigaction(SIGALRM, &before_, nullptr);
    }
    static int count() { return count_; }

  private:
    static void set(suseconds_t each) {
        const itimerval timer{.it_interval = {0, each}, .it_value = {0, each}};
        ::setitimer(ITIMER_REAL, &timer, nullptr);
    }
    struct sigaction before_ {};
    static inline volatile std::sig_atomic_t count_ = 0;
};

}  // namespace

TEST_CASE("no timeout, zero, and a positive one") {
    auto pair = unix_pair();
    CHECK_FALSE(pair.near.gettimeout().has_value());

    pair.near.settimeout(0s);
    CHECK(pair.near.gettimeout() == 0ns);
    CHECK(error_of([&] { pair.near.recv(1); }) == EAGAIN);
    fill(pair.near);
    CHECK(error_of([&] { pair.near.sendall("x"); }) == EAGAIN);

    pair.near.settimeout(20ms);
    CHECK(pair.near.gettimeout() == 20ms);
    const Stopwatch watch;
    CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
    CHECK_THROWS_AS(pair.near.sendall("x"), TimeoutError);
    CHECK(watch.elapsed() >= 40ms);
    CHECK(watch.elapsed() < longest_wait);
    CHECK_FALSE(pair.near.peer_gone());

    pair.near.settimeout({});
    CHECK_FALSE(pair.near.gettimeout().has_value());
    std::jthread later{[&] {
        std::this_thread::sleep_for(40ms);  // longer than the timeout that is no more
        pair.far.sendall("late");
    }};
    CHECK(pair.near.recv(10) == "late");
}

TEST_CASE("a timeout that is not over does no harm") {
    auto pair = unix_pair();
    pair.near.settimeout(std::chrono::hours{24 * 365 * 200});
    pair.far.sendall("x");
    CHECK(pair.near.recv(1) == "x");
    pair.near.settimeout(1ns);
    pair.far.sendall("y");
    CHECK(pair.near.recv(1) == "y");
    CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
}

TEST_CASE("a timeout just below a second is one second for the kernel") {
    auto pair = unix_pair();
    pair.near.settimeout(999'999'999ns);
    pair.far.sendall("x");
    CHECK(pair.near.recv(1) == "x");
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
        timeval value{};
        socklen_t size = sizeof value;
        REQUIRE(::getsockopt(pair.near.fileno(), SOL_SOCKET, option, &value, &size) == 0);
        CHECK(value.tv_sec == 1);
        CHECK(value.tv_usec == 0);
    }
}

TEST_CASE("a timeout holds where the kernel does not take it on") {
    auto pair = unix_pair();
    const Scripted<&Calls::setsockopt> setsockopt{[](auto...) { return fail(EDOM); }};
    pair.near.settimeout(20ms);
    const Stopwatch watch;
    CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
    fill(pair.near);
    CHECK_THROWS_AS(pair.near.sendall("x"), TimeoutError);
    CHECK(watch.elapsed() >= 40ms);
}

TEST_CASE("a deadline is for all operations together") {
    auto pair = unix_pair();
    const Stopwatch watch;
    pair.near.set_deadline(std::chrono::steady_clock::now() + 100ms);
    {
        const std::jthread trickle{[&](const std::stop_token& stop) {
            for (; !stop.stop_requested(); std::this_thread::sleep_for(10ms)) pair.far.sendall("x");
        }};
        std::string received;
        CHECK_THROWS_AS(
            [&] {
                for (;;) received += pair.near.recv(10);  // none of them waits for long
            }(),
            DeadlineExceeded);
        CHECK(received.size() > 1);
    }
    CHECK(watch.elapsed() >= 100ms);
    CHECK(watch.elapsed() < longest_wait);

    // The earlier of the two, whichever it is.
    pair.near.set_deadline(std::chrono::steady_clock::now() + 1h);
    pair.near.settimeout(20ms);
    CHECK_THROWS_AS(
        [&] {
            for (;;) pair.near.recv(10);
        }(),
        TimeoutError);
    pair.near.settimeout({});
    pair.near.set_deadline({});
    const std::jthread later{[&] {
        std::this_thread::sleep_for(20ms);
        pair.far.sendall("late");
    }};
    CHECK(pair.near.recv(10) == "late");
}

TEST_CASE("accept, recvfrom, sendto and sendfile keep the timeout") {
    SECTION("accept") {
        Socket listening = listening_on({"127.0.0.1", 0});
        listening.settimeout(0s);
        CHECK(error_of([&] { listening.accept(); }) == EAGAIN);
        listening.settimeout(20ms);
        const Stopwatch watch;
        CHECK_THROWS_AS(listening.accept(), TimeoutError);
        CHECK(watch.elapsed() >= 20ms);

        const Socket client = create_connection(listening.getsockname());
        listening.settimeout(10s);
        auto [accepted, peer] = listening.accept();
        CHECK(peer == client.getsockname());
        CHECK_FALSE(accepted.gettimeout().has_value());
        CHECK((::fcntl(listening.fileno(), F_GETFL) & O_NONBLOCK) == 0);
    }
    SECTION("recvfrom") {
        Socket socket{Address{"127.0.0.1", 0}, SocketType::datagram};
        socket.bind({"127.0.0.1", 0});
        socket.settimeout(0s);
        CHECK(error_of([&] { socket.recvfrom(1); }) == EAGAIN);
        socket.settimeout(20ms);
        const Stopwatch watch;
        CHECK_THROWS_AS(socket.recvfrom(1), TimeoutError);
        CHECK(watch.elapsed() >= 20ms);
    }
    SECTION("sendto") {
        const TemporaryFolder folder;
        Socket deaf{Address{folder / "s"}, SocketType::datagram};
        deaf.bind(folder / "s");
        Socket socket{Address{folder / "s"}, SocketType::datagram};
        socket.settimeout(0s);
        const auto flood = [&] {
            for (;;) socket.sendto("x", folder / "s");
        };
        CHECK(error_of(flood) == EAGAIN);
        int attempts = 0;
        const Scripted<&Calls::sendto> sendto{[&](auto... arguments) {
            ++attempts;
            return sys::kernel.sendto(arguments...);
        }};
        socket.settimeout(20ms);
        const Stopwatch watch;
        CHECK_THROWS_AS(flood(), TimeoutError);
        CHECK(watch.elapsed() >= 20ms);
        CHECK(attempts < 100);  // it does not spin
    }
    SECTION("sendfile") {
        auto pair = tcp_pair();
        const File file{pattern(20'000'000)};
        pair.near.settimeout(20ms);
        const Stopwatch watch;
        CHECK_THROWS_AS(pair.near.sendfile(file.descriptor()), TimeoutError);
        CHECK(watch.elapsed() >= 20ms);
        pair.near.settimeout(0s);
        CHECK(error_of([&] { pair.near.sendfile(file.descriptor()); }) == EAGAIN);
    }
}

TEST_CASE("a timeout is for the whole of sendall, however the peer trickles") {
    auto pair = unix_pair();
    int sent = 0;
    bool is_full = false;
    const Scripted<&Calls::send> send{[&](int, const void*, std::size_t, int flags) {
        if ((flags & MSG_DONTWAIT) == 0) {
            std::this_thread::sleep_for(30ms);
        } else if (is_full = !is_full; is_full) {
            return static_cast<ssize_t>(fail(EAGAIN));
        }
        ++sent;
        return ssize_t{1};
    }};
    const Scripted<&Calls::poll> poll{[](pollfd*, nfds_t, int milliseconds) {
        std::this_thread::sleep_for(std::chrono::milliseconds{std::min(milliseconds, 15)});
        return milliseconds > 0 ? 1 : 0;
    }};
    pair.near.settimeout(50ms);
    const Stopwatch watch;
    CHECK_THROWS_AS(pair.near.sendall(std::string(40, 'x')), TimeoutError);
    CHECK(watch.elapsed() >= 50ms);
    CHECK(sent < 10);
}

TEST_CASE("a storm of signals neither shortens nor prolongs a timeout") {
    auto pair = unix_pair();
    fill(pair.near);
    pair.near.settimeout(60ms);
    Socket listening = listening_on({"127.0.0.1", 0});
    listening.settimeout(60ms);

    const SignalStorm storm;
    const Stopwatch watch;
    CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
    CHECK(watch.elapsed() >= 60ms);
    CHECK_THROWS_AS(pair.near.sendall("x"), TimeoutError);
    CHECK(watch.elapsed() >= 120ms);
    CHECK_THROWS_AS(listening.accept(), TimeoutError);
    CHECK(watch.elapsed() >= 180ms);
    CHECK(watch.elapsed() < longest_wait);
    CHECK(SignalStorm::count() > 0);
}

TEST_CASE("after a signal only the rest of the time is waited for") {
    auto pair = unix_pair();
    pair.near.settimeout(500ms);
    bool first = true;
    const Scripted<&Calls::recv> recv{[&](int fd, void* data, std::size_t size, int flags) {
        if (!std::exchange(first, false)) return sys::kernel.recv(fd, data, size, flags);
        std::this_thread::sleep_for(200ms);  // the signal comes after this long
        return static_cast<ssize_t>(fail(EINTR));
    }};
    int waited_for = -1;
    const Scripted<&Calls::poll> poll{[&](pollfd*, nfds_t, int milliseconds) {
        if (waited_for == -1) waited_for = milliseconds;
        std::this_thread::sleep_for(std::chrono::milliseconds{milliseconds});
        return 0;
    }};
    CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
    CHECK(waited_for >= 0);
    CHECK(waited_for <= 300);
}
