// SPDX-License-Identifier: MIT
#include "socketserver/detail/io/blocking_io.hpp"

#include <poll.h>

#include <array>
#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "socketserver/buffered_reader.hpp"
#include "socketserver/errors.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::chrono_literals;
using detail::BlockingIo;
using detail::Channel;
using detail::Clock;
using detail::Current;
using detail::Direction;
using detail::ServerMark;
using detail::TimePoint;

namespace {

/// A carrier that does as the kernel does and writes down what it was asked.
class RecordingIo final : public BlockingIo, public detail::Registration {
  public:
    RecordingIo() { detail::current().io = this; }
    ~RecordingIo() override { detail::current().io = nullptr; }

    std::ptrdiff_t recv(Channel& channel, void* data, std::size_t size, int flags) override {
        asked.emplace_back((flags & MSG_DONTWAIT) != 0 ? "recv at once" : "recv");
        channel.reading = this;
        return ::recv(channel.fd, data, size, flags);
    }
    std::ptrdiff_t send(Channel& channel, const void* data, std::size_t size, int flags) override {
        asked.emplace_back((flags & MSG_NOSIGNAL) != 0 ? "send" : "send with SIGPIPE");
        return ::send(channel.fd, data, size, flags);
    }
    bool may_receive(Channel&) override { return has_input; }
    int begin_operation() override { return 0; }
    int wait(Channel& channel, Direction direction, TimePoint) override {
        asked.emplace_back(direction == Direction::read ? "wait to read" : "wait to write");
        if (wait_error != 0) return fail(wait_error);
        on_wait();
        pollfd entry{channel.fd,
                     static_cast<short>(direction == Direction::read ? POLLIN : POLLOUT), 0};
        return ::poll(&entry, 1, -1) == 1 ? 0 : -1;
    }
    int wait_any(std::span<detail::ChannelWait>, TimePoint) override {
        asked.emplace_back("wait for any");
        return 0;
    }
    int poll(pollfd*, std::size_t, TimePoint) override {
        asked.emplace_back("poll");
        return 0;
    }
    void forget(bool stays_open) noexcept override { ++(stays_open ? given_away : closed); }
    void run_blocking(const std::function<void()>& work) override {
        asked.emplace_back("run_blocking");
        work();
    }
    void sleep_until(TimePoint) override { asked.emplace_back("sleep_until"); }
    void yield() override {}
    void release_stack() noexcept override {}
    void call_on_shared_stack(void (*work)(void*) noexcept, void* argument) override {
        work(argument);
    }

    std::vector<std::string> asked;
    int closed = 0;
    int given_away = 0;
    bool has_input = true;
    int wait_error = 0;
    std::function<void()> on_wait = [] {};
};

using Asked = std::vector<std::string>;

}  // namespace

TEST_CASE("an operation ends at the earlier of timeout and deadline") {
    Channel channel;
    CHECK(channel.until() == detail::never);
    CHECK_FALSE(channel.is_timed());

    const TimePoint before = Clock::now();
    channel.timeout = 10s;
    CHECK(channel.is_timed());
    const TimePoint until = channel.until();
    CHECK(until >= before + 10s);
    CHECK(until <= Clock::now() + 10s);

    channel.deadline = before + 5s;
    CHECK(channel.until() == before + 5s);
    channel.timeout = std::chrono::nanoseconds::max();
    CHECK(channel.until() == before + 5s);
    channel.timeout = -1ns;
    CHECK(channel.until() == before + 5s);
    CHECK(channel.is_timed());
    channel.deadline = detail::never;
    channel.timeout = std::chrono::nanoseconds::max();
    CHECK(channel.until() == detail::never);
}

TEST_CASE("the deadline ends every operation of a socket, whatever its timeout") {
    auto pair = unix_pair();
    const bool timed = GENERATE(false, true);
    if (timed) pair.near.settimeout(100s);
    pair.far.sendall("in time");
    pair.near.channel().deadline = Clock::now() + 30ms;
    CHECK(pair.near.recv(100) == "in time");
    CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
    CHECK(Clock::now() >= pair.near.channel().deadline.load());
    CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
    CHECK_THROWS_AS(pair.near.recvfrom(1), TimeoutError);
    fill(pair.near);
    CHECK_THROWS_AS(pair.near.sendall("x"), TimeoutError);
    BufferedReader reader{pair.near};
    CHECK_THROWS_AS(reader.readline(), TimeoutError);

    Socket listening = listening_on({"127.0.0.1", 0});
    listening.channel().deadline = Clock::now() + 30ms;
    CHECK_THROWS_AS(listening.accept(), TimeoutError);
    CHECK(Clock::now() >= listening.channel().deadline.load());
}

TEST_CASE("a deadline is kept through sendall, however the peer trickles") {
    auto pair = unix_pair();
    pair.near.channel().deadline = Clock::now() + 30ms;
    CHECK_THROWS_AS(pair.near.sendall(std::string(10'000'000, 'x')), TimeoutError);
    CHECK(Clock::now() >= pair.near.channel().deadline.load());
}

TEST_CASE("one operation of the kernel is one system call") {
    auto pair = unix_pair();
    int receives = 0;
    int polls = 0;
    const Scripted<&Calls::recv> recv{[&](auto... arguments) {
        ++receives;
        return sys::kernel.recv(arguments...);
    }};
    const Scripted<&Calls::poll> poll{[&](auto... arguments) {
        ++polls;
        return sys::kernel.poll(arguments...);
    }};
    const bool timed = GENERATE(false, true);
    if (timed) pair.near.settimeout(100s);
    const std::jthread later{[&] {
        std::this_thread::sleep_for(5ms);
        pair.far.sendall("x");
    }};
    CHECK(pair.near.recv(1) == "x");
    CHECK(receives == 1);
    CHECK(polls == 0);
}

TEST_CASE("wait and poll last until the given time, or until something is ready") {
    auto pair = unix_pair();
    TimePoint until = Clock::now() + 20ms;
    CHECK(detail::wait(pair.near.channel(), Direction::read, until) == -1);
    CHECK(errno == ETIMEDOUT);
    CHECK(Clock::now() >= until);
    CHECK(detail::wait(pair.near.channel(), Direction::write, until) == 0);

    pollfd entry{pair.near.fileno(), POLLIN, 0};
    until = Clock::now() + 20ms;
    CHECK(detail::poll(&entry, 1, until) == 0);
    CHECK(Clock::now() >= until);
    pair.far.sendall("x");
    CHECK(detail::poll(&entry, 1, detail::never) == 1);
    CHECK(detail::wait(pair.near.channel(), Direction::read, detail::never) == 0);
}

TEST_CASE("poll goes on after a signal, with the time that is left") {
    std::vector<int> waits;
    const Scripted<&Calls::poll> poll{[&](pollfd*, nfds_t, int milliseconds) {
        waits.push_back(milliseconds);
        std::this_thread::sleep_for(20ms);
        return waits.size() < 3 ? fail(EINTR) : 1;
    }};
    CHECK(detail::poll(nullptr, 0, Clock::now() + 10s) == 1);
    REQUIRE(waits.size() == 3);
    CHECK(waits[0] <= 10'000);
    CHECK(waits[1] <= 9'981);
    CHECK(waits[2] <= 9'961);
    waits = {0, 0};
    CHECK(detail::poll(nullptr, 0, detail::never) == 1);
    CHECK(waits.back() == -1);
}

TEST_CASE("an error of poll is an error of the wait") {
    auto pair = unix_pair();
    const Scripted<&Calls::poll> poll{[](auto...) { return fail(ENOMEM); }};
    CHECK(detail::wait(pair.near.channel(), Direction::read, detail::never) == -1);
    CHECK(errno == ENOMEM);
}

TEST_CASE("a carrier gets every operation") {
    RecordingIo io;  // destroyed after the sockets that it knows
    auto pair = unix_pair();
    pair.near.sendall("x");
    std::array<char, 1> memory{};
    CHECK(pair.far.recv_into(memory) == 1);
    detail::run_blocking([] {});
    detail::sleep_until(Clock::now() + 1000s);
    pollfd none{};
    detail::poll(&none, 1, detail::never);
    CHECK(io.asked == Asked{"send", "recv", "run_blocking", "sleep_until", "poll"});

    io.asked.clear();
    pair.far.sendall("y");
    CHECK(pair.near.recvfrom(1).first == "y");
    const Address any{"127.0.0.1", 0};
    Socket listening = listening_on(any);
    const Socket client = create_connection(listening.getsockname());
    CHECK(listening.accept().first.is_open());
    CHECK(io.asked.front() == "send");
    CHECK((::fcntl(listening.fileno(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("a carrier forgets a descriptor before it is closed or given away") {
    RecordingIo io;
    auto pair = unix_pair();
    pair.far.close();
    CHECK(io.closed == 0);  // it never knew this one
    CHECK(pair.near.recv(1).empty());
    SECTION("closed") {
        pair.near.close();
        pair.near.close();
        CHECK(io.closed == 1);
        CHECK(io.given_away == 0);
    }
    SECTION("given away") {
        ::close(pair.near.detach());
        pair.near.close();
        CHECK(io.closed == 0);
        CHECK(io.given_away == 1);
    }
}

TEST_CASE("recv() on a carrier waits without a buffer") {
    RecordingIo io;
    auto pair = unix_pair();
    // A carrier says so of a socket that it has found empty.
    io.has_input = false;
    io.on_wait = [&] { ::send(pair.far.fileno(), "x", 1, 0); };
    CHECK(pair.near.recv(1) == "x");
    CHECK(io.asked == Asked{"wait to read", "recv at once"});
    io.wait_error = ETIMEDOUT;
    CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
}

TEST_CASE("an idle reader on a carrier waits without a buffer") {
    RecordingIo io;
    auto pair = unix_pair();
    BufferedReader reader{pair.near};
    pair.far.sendall("half ");
    CHECK(reader.read(5) == "half ");
    io.asked.clear();
    SECTION("and receives when something has come") {
        io.on_wait = [&] { ::send(pair.far.fileno(), "line\n", 5, 0); };
        CHECK(reader.readline() == "line\n");
        CHECK(io.asked == Asked{"recv at once", "wait to read", "recv at once"});
    }
    SECTION("and is told when its time is over or its server stops") {
        io.wait_error = ETIMEDOUT;
        CHECK_THROWS_AS(reader.readline(), TimeoutError);
        io.wait_error = ECANCELED;
        CHECK_THROWS_AS(reader.readline(), Cancelled);
    }
    SECTION("and does not wait if it is not to") {
        pair.near.settimeout(0s);
        CHECK(error_of([&] { reader.readline(); }) == EAGAIN);
        CHECK(io.asked == Asked{"recv at once"});
    }
}

TEST_CASE("without a carrier blocking work runs here, and sleeping sleeps") {
    bool ran = false;
    detail::run_blocking([&] { ran = true; });
    CHECK(ran);
    const TimePoint until = Clock::now() + 5ms;
    detail::sleep_until(until);
    CHECK(Clock::now() >= until);
}

TEST_CASE("marks of servers nest, per thread and per kind") {
    const int one = 0;
    const int two = 0;
    constexpr ServerMark::Slot serving = &Current::serving;
    constexpr ServerMark::Slot request = &Current::request;
    CHECK_FALSE(ServerMark::stands(&one, serving));
    {
        const ServerMark outer{&one, serving};
        CHECK(ServerMark::stands(&one, serving));
        CHECK_FALSE(ServerMark::stands(&one, request));
        CHECK_FALSE(ServerMark::stands(&two, serving));
        {
            const ServerMark inner{&two, serving};
            CHECK(ServerMark::stands(&one, serving));
            CHECK(ServerMark::stands(&two, serving));
        }
        CHECK_FALSE(ServerMark::stands(&two, serving));
        bool elsewhere = true;
        std::jthread{[&] { elsewhere = ServerMark::stands(&one, serving); }}.join();
        CHECK_FALSE(elsewhere);
    }
    CHECK_FALSE(ServerMark::stands(&one, serving));
}
