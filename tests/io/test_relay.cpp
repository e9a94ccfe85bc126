// SPDX-License-Identifier: MIT
// relay() between pairs of connected sockets, on a thread and in a fiber.
#include "socketserver/relay.hpp"

#include <atomic>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "socketserver/buffered_reader.hpp"
#include "socketserver/buffered_writer.hpp"
#include "socketserver/errors.hpp"
#include "support/carriers.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/sanitizers.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver;
using namespace socketserver::tests;

namespace {

/// Two connections, each with one end for the relay and one for the test.
struct Lines {
    Pair a;
    Pair b;
    explicit Lines(Pair (*make)()) : a{make()}, b{make()} {
        for (Socket* peer : {&a.far, &b.far}) peer->settimeout(patience);
    }
};
Pair stream_pair() { return unix_pair(); }

/// Sends much, ends its output, and returns what comes until the end.
std::string exchange(Socket& peer, const std::string& data) {
    std::jthread sending{[&] {
        peer.sendall(data);
        peer.shutdown(ShutdownHow::write);
    }};
    return receive_all(peer);
}

const std::string hello = "hello\n";

/// Different everywhere, so that bytes in a wrong place are noticed.
std::string pattern(std::size_t size) {
    std::string data(size, '\0');
    for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<char>(i * 31 % 251);
    return data;
}

std::size_t open_pipes() {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        std::error_code closed_meanwhile;
        const auto target = std::filesystem::read_symlink(entry, closed_meanwhile).string();
        if (target.starts_with("pipe:")) ++count;
    }
    return count;
}

}  // namespace

TEST_CASE("relay passes on much in both directions at once, until both have ended") {
    Pair (*const make)() = GENERATE(&tcp_pair, &stream_pair);
    Lines line{make};
    const std::string one(3'000'000, '1');
    const std::string two(5'000'000, '2');
    std::string of_a;
    std::string of_b;
    std::jthread a{[&] { of_a = exchange(line.a.far, one); }};
    std::jthread b{[&] { of_b = exchange(line.b.far, two); }};
    RelayResult result;
    on_each_carrier([&] { result = relay(line.a.near, line.b.near); });
    a.join();
    b.join();
    CHECK(result == RelayResult{.a_to_b = one.size(), .b_to_a = two.size()});
    CHECK(of_a == two);
    CHECK(of_b == one);
    CHECK(line.a.near.is_open());
    CHECK(line.b.near.is_open());
}

TEST_CASE("relay splices much data between TCP connections") {
    Pair (*const make)() = GENERATE(&tcp_pair, &stream_pair);
    const bool is_tcp = make == &tcp_pair;
    Lines line{make};
    const Counts before;
    const std::size_t pipes = open_pipes();
    const std::string data = pattern(50'000'000);
    std::string came;
    bool has_spliced = false;
    std::jthread peer{[&] {
        std::jthread sending{[&] {
            line.a.far.sendall(data);
            line.a.far.shutdown(ShutdownHow::write);
        }};
        for (std::string part; !(part = line.b.far.recv(1 << 18)).empty(); came += part) {
            has_spliced = has_spliced || open_pipes() > pipes;
        }
        line.b.far.sendall(hello);  // the other direction goes on, by copying
        line.b.far.shutdown(ShutdownHow::write);
    }};
    RelayResult result;
    on_each_carrier([&] { result = relay(line.a.near, line.b.near); });
    peer.join();
    CHECK(result == RelayResult{.a_to_b = data.size(), .b_to_a = hello.size()});
    CHECK((came == data));
    CHECK(line.a.far.recv(100) == hello);
    CHECK((has_spliced == is_tcp || under_tsan));  // which slows the sender: a relay finds little
    CHECK(before.are_back());
    for (Socket* each : {&line.a.near, &line.b.near}) {  // operations wait again, as before
        CHECK((::fcntl(each->fileno(), F_GETFL) & O_NONBLOCK) == 0);
    }
}

TEST_CASE("relay ends while data is being spliced") {
    Lines line{&tcp_pair};
    const std::size_t pipes = open_pipes();
    const bool is_reset = GENERATE(true, false);
    std::jthread peer{[&] {
        std::jthread sending{[&] {
            try {
                const std::string data(1 << 20, 'x');
                for (;;) line.a.far.sendall(data);
            } catch (const std::system_error&) {
                return;  // the relay has ended, and the test has closed the connection
            }
        }};
        while (open_pipes() == pipes) static_cast<void>(line.b.far.recv(1 << 18));
        if (is_reset) reset(line.b.far);
    }};
    RelayResult result;
    on_each_carrier([&] {
        result = relay(line.a.near, line.b.near, 300ms);
        line.a.near.close();
    });
    peer.join();
    CHECK(result.end == (is_reset ? RelayEnd::b_failed : RelayEnd::idle));
    CHECK(result.a_to_b > 0);
    CHECK(open_pipes() == pipes);
}

TEST_CASE("relay copies if there is no pipe, or one that cannot be used") {
    const TimeLimit limit;
    const bool has_pipe = GENERATE(false, true);
    CAPTURE(has_pipe);
    const Scripted<&Calls::pipe2> pipe2{[&](int* ends, int flags) {
        return has_pipe ? sys::kernel.pipe2(ends, flags) : fail(EMFILE);
    }};
    std::atomic<int> refused{0};
    const Scripted<&Calls::splice> splice{[&](auto...) {
        ++refused;
        return fail(EINVAL);
    }};
    Lines line{&tcp_pair};
    const std::string data = pattern(10'000'000);
    std::string came;
    std::jthread peer{[&] {
        std::jthread answer{[&] { line.b.far.shutdown(ShutdownHow::write); }};
        std::jthread sending{[&] {
            line.a.far.sendall(data);
            line.a.far.shutdown(ShutdownHow::write);
        }};
        came = receive_all(line.b.far);
    }};
    RelayResult result;
    on_each_carrier([&] { result = relay(line.a.near, line.b.near); });
    peer.join();
    CHECK(result == RelayResult{.a_to_b = data.size(), .b_to_a = 0});
    CHECK((came == data));
    CHECK((refused == (has_pipe ? 1 : 0) || under_tsan));
}

TEST_CASE("relay passes on the end of one side, and goes on in the other direction") {
    Pair (*const make)() = GENERATE(&tcp_pair, &stream_pair);
    Lines line{make};
    std::jthread peers{[&] {
        line.a.far.sendall("question");
        line.a.far.shutdown(ShutdownHow::write);
        const std::string question = receive_all(line.b.far);  // ends although b has not ended
        line.b.far.sendall(question + ", answer");
        line.b.far.shutdown(ShutdownHow::write);
    }};
    RelayResult result;
    on_each_carrier([&] { result = relay(line.a.near, line.b.near); });
    CHECK(result == RelayResult{.a_to_b = 8, .b_to_a = 16});
    CHECK(receive_all(line.a.far) == "question, answer");
}

TEST_CASE("relay begins with what was read ahead, and with what is held back") {
    Lines line{&tcp_pair};
    line.a.far.sendall("CONNECT\nthe rest");
    line.a.far.shutdown(ShutdownHow::write);
    line.b.far.shutdown(ShutdownHow::write);
    std::string first;
    RelayResult result;
    on_each_carrier([&] {
        BufferedReader reader{line.a.near};
        BufferedWriter writer{line.a.near, 4096};
        first = reader.readline();
        writer.write("OK\n");
        result = relay(reader, line.b.near);
    });
    CHECK(first == "CONNECT\n");
    CHECK(result == RelayResult{.a_to_b = 8, .b_to_a = 0});
    CHECK(receive_all(line.b.far) == "the rest");
    CHECK(receive_all(line.a.far) == "OK\n");
}

TEST_CASE("relay ends when nothing has moved for the idle time") {
    Lines line{&tcp_pair};
    const Counts before;
    line.b.far.sendall(hello);
    RelayResult result;
    Stopwatch watch;
    on_each_carrier([&] {
        watch = {};
        result = relay(line.a.near, line.b.near, 30ms);
    });
    CHECK(watch.elapsed() >= 30ms);
    CHECK(result == RelayResult{.a_to_b = 0, .b_to_a = 6, .end = RelayEnd::idle});
    CHECK(line.a.far.recv(100) == hello);
    line.a.near.sendall(hello);  // both are as they were
    CHECK(line.a.far.recv(100) == hello);
    CHECK(before.are_back());
}

TEST_CASE("the idle time of relay counts from the last byte, in whichever direction") {
    Lines line{&tcp_pair};
    int came = 0;
    std::jthread peer{[&] {
        for (int i = 0; i < 10; ++i) {
            Socket& side = i % 2 == 0 ? line.a.far : line.b.far;
            Socket& other = i % 2 == 0 ? line.b.far : line.a.far;
            side.sendall(hello);
            if (other.recv(100) == hello) ++came;
            std::this_thread::sleep_for(20ms);  // a part of the idle time; ten of them are more
        }
        line.a.far.close();
        line.b.far.close();
    }};
    RelayResult result;
    on_each_carrier([&] { result = relay(line.a.near, line.b.near, 150ms); });
    peer.join();
    CHECK(came == 10);
    CHECK(result.end == RelayEnd::finished);
    CHECK(result.a_to_b == 5 * hello.size());
    CHECK(result.b_to_a == 5 * hello.size());
}

TEST_CASE("relay tells which side was reset") {
    Lines line{&tcp_pair};
    const bool first = GENERATE(true, false);
    Socket& peer = first ? line.a.far : line.b.far;
    peer.sendall(hello);
    std::string passed_on;
    std::jthread resetting{[&] {
        passed_on = (first ? line.b.far : line.a.far).recv(100);
        reset(peer);
    }};
    RelayResult result;
    on_each_carrier([&] { result = relay(line.a.near, line.b.near); });
    resetting.join();
    CHECK(passed_on == hello);
    CHECK(result.end == (first ? RelayEnd::a_failed : RelayEnd::b_failed));
    CHECK(result.error == std::errc::connection_reset);
    CHECK(result.a_to_b == (first ? hello.size() : 0));
    CHECK(result.b_to_a == (first ? 0 : hello.size()));
}

TEST_CASE("what a side sends is passed on although it takes nothing more") {
    Lines line{&stream_pair};
    line.b.far.sendall("refused");
    line.b.far.shutdown(ShutdownHow::read);
    line.a.far.sendall(hello);
    std::string passed_on;
    std::jthread peer{[&] {
        passed_on = line.a.far.recv(100);
        line.b.far.sendall(", really");
        passed_on += line.a.far.recv(100);
        line.b.far.shutdown(ShutdownHow::write);
    }};
    RelayResult result;
    on_each_carrier([&] { result = relay(line.a.near, line.b.near); });
    peer.join();
    CHECK(passed_on == "refused, really");
    CHECK(result.end == RelayEnd::b_failed);
    CHECK(result.error == std::errc::broken_pipe);
    CHECK(result.a_to_b == 0);
    CHECK(result.b_to_a == 15);
}

TEST_CASE("a side that has sent everything and goes ends a relay that waits for the other one") {
    // One that is still there and reads is told from one that has gone, without sending to it.
    Lines line{&stream_pair};
    line.a.far.sendall(hello);
    line.a.far.close();
    RelayResult result;
    on_each_carrier([&] { result = relay(line.a.near, line.b.near); });
    CHECK(result.end == RelayEnd::a_failed);
    CHECK(result.error == std::errc::broken_pipe);
    CHECK(result.a_to_b == hello.size());
    CHECK(receive_all(line.b.far) == hello);
}

TEST_CASE("all that a side has sent before it went is passed on to one that reads slowly") {
    Lines line{&stream_pair};
    line.b.near.set_send_buffer(4096);
    const std::string much(100'000, 'x');  // fits into the buffer of the one, not of the other
    line.a.far.sendall(much);
    line.a.far.close();
    std::string received;
    std::jthread b{[&] {
        for (std::string part; !(part = line.b.far.recv(1000)).empty();) received += part;
        line.b.far.close();
    }};
    RelayResult result;
    on_each_carrier([&] { result = relay(line.a.near, line.b.near); });
    b.join();
    CHECK(result.a_to_b == much.size());
    CHECK(received == much);
}

TEST_CASE("relay of what cannot be passed on") {
    Lines line{&tcp_pair};
    line.b.near.close();
    CHECK(error_of([&] { relay(line.a.near, line.b.near); }) == EBADF);
    BufferedReader memory{"text"};
    CHECK_THROWS_AS(relay(line.a.near, memory), std::invalid_argument);
}

TEST_CASE("to end both directions of a connection that is over does nothing") {
    auto [near, far] = tcp_pair();
    SECTION("the peer has reset it") {
        reset(far);
        near.settimeout(patience);
        const bool is_noticed = GENERATE(true, false);
        if (is_noticed) {
            CHECK(error_of([&, &near = near] { near.recv(1); }) == ECONNRESET);
        } else {
            CHECK(eventually([&, &near = near] { return near.peer_has_ended(); }));
        }
        near.shutdown(ShutdownHow::both);
        CHECK(error_of([&, &near = near] { near.shutdown(ShutdownHow::write); }) == ENOTCONN);
        near.shutdown(ShutdownHow::both);
    }
    SECTION("both have ended it") {
        far.close();
        CHECK(receive_all(near).empty());
        near.shutdown(ShutdownHow::both);
        near.shutdown(ShutdownHow::both);
    }
}

TEST_CASE("to end a connection that never was is an error") {
    Socket socket{any_port, SocketType::stream};
    CHECK(error_of([&] { socket.shutdown(ShutdownHow::both); }) == ENOTCONN);
    socket.close();
    CHECK(error_of([&] { socket.shutdown(ShutdownHow::both); }) == EBADF);
}
