// SPDX-License-Identifier: MIT
// What stands between a Socket and its descriptor: every way to receive and to send passes it, with
// the timeouts, and on the carrier, that a plain socket has.
#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <sys/socket.h>

#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/io/byte_filter.hpp"
#include "support/carriers.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/serving.hpp"
#include "support/transfers.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using detail::ByteFilter;
using detail::Channel;
using detail::Direction;

constexpr char key = 0x55;
/// The largest frame of the filter below, as it is sent; it begins with its size.
constexpr std::size_t largest_frame = 2 + 4096;

std::string encoded(std::string_view data) {
    std::string frame{static_cast<char>(data.size() >> 8), static_cast<char>(data.size() & 0xff)};
    for (const char byte : data) frame += static_cast<char>(byte ^ key);
    return frame;
}

/// Sends frames: the size in two bytes, then as many bytes, changed. An empty one is the end. As
/// with TLS nothing can be received before a whole frame has come, more may have come than was
/// asked for, and a frame that has been sent in part must be sent to its end.
class Frames : public ByteFilter {
  public:
    std::ptrdiff_t recv(Channel& channel, char* data, std::size_t size, bool may_wait) override {
        while (!has_pending()) {
            std::array<char, 1000> bytes{};
            const std::ptrdiff_t got =
                detail::recv(channel, bytes.data(), bytes.size(),
                             std::exchange(may_wait, false) ? 0 : MSG_DONTWAIT);
            if (got <= 0) return got;
            raw_.append(bytes.data(), static_cast<std::size_t>(got));
            decode();
        }
        if (decoded_.empty()) return 0;
        const std::size_t count = std::min(size, decoded_.size());
        decoded_.copy(data, count);
        decoded_.erase(0, count);
        return static_cast<std::ptrdiff_t>(count);
    }
    std::ptrdiff_t send(Channel& channel, std::string_view data) override {
        if (frame_.empty()) {
            taken_ = std::min(data.size(), largest_frame - 2);
            frame_ = encoded(data.substr(0, taken_));
        }
        while (!frame_.empty()) {
            const std::ptrdiff_t sent =
                detail::send(channel, frame_.data(), frame_.size(), MSG_DONTWAIT);
            if (sent == -1) return -1;
            frame_.erase(0, static_cast<std::size_t>(sent));
        }
        return static_cast<std::ptrdiff_t>(taken_);
    }
    bool has_pending() const noexcept override { return !decoded_.empty() || peer_said_end; }
    void shutdown(Channel& channel) noexcept override {
        const std::string end = encoded("");
        detail::send(channel, end.data(), end.size(), MSG_DONTWAIT);
    }

    std::atomic<bool> peer_said_end{false};

  private:
    void decode() {
        while (raw_.size() >= 2) {
            const std::size_t size = static_cast<unsigned char>(raw_[0]) * std::size_t{256} +
                                     static_cast<unsigned char>(raw_[1]);
            if (raw_.size() < 2 + size) return;
            if (size == 0) peer_said_end = true;
            for (const char byte : raw_.substr(2, size)) decoded_ += static_cast<char>(byte ^ key);
            raw_.erase(0, 2 + size);
        }
    }

    std::string raw_;
    std::string decoded_;
    std::string frame_;  // what is left to send of it
    std::size_t taken_ = 0;
};

Frames& add_filter(Socket& socket) {
    auto filter = std::make_unique<Frames>();
    Frames& added = *filter;
    socket.channel().filter = std::move(filter);
    return added;
}

Pair filtered_pair() {
    Pair pair = tcp_pair();
    add_filter(pair.near);
    add_filter(pair.far);
    pair.near.settimeout(longest_wait);
    pair.far.settimeout(longest_wait);
    return pair;
}

/// The scheduler of a fiber watches this socket from now on, and knows that nothing is there.
void wait_in_vain(Socket& socket) {
    socket.settimeout(5ms);
    CHECK_THROWS_AS(socket.recv(1), TimeoutError);
    socket.settimeout(longest_wait);
}

}  // namespace

TEST_CASE("what is sent passes the filter, and so does what is received") {
    on_each_carrier([] {
        Pair pair = tcp_pair();
        add_filter(pair.near);
        pair.near.sendall("hello");
        CHECK(pair.near.send("abc") == 3);
        std::string wire;
        while (wire.size() < 12) wire += pair.far.recv(100);
        CHECK((wire == encoded("hello") + encoded("abc")));
        pair.far.sendall(encoded("answer"));
        CHECK(pair.near.recv(100) == "answer");
    });
}

TEST_CASE("what the filter has taken and not given yet is received without waiting") {
    on_each_carrier([] {
        Pair pair = filtered_pair();
        wait_in_vain(pair.near);
        pair.far.sendall("0123456789abcdefghij");
        CHECK(pair.near.recv(4) == "0123");
        CHECK(pair.near.recv(4) == "4567");
        std::array<char, 4> four{};
        CHECK(pair.near.recv_into(four) == 4);
        CHECK(std::string_view(four.data(), four.size()) == "89ab");
        BufferedReader reader{pair.near, 0};
        CHECK(reader.peek() == "c");
        CHECK(reader.read(3) == "cde");
        CHECK(pair.near.recv(100) == "fghij");
        wait_in_vain(pair.near);
    });
}

TEST_CASE("counted bytes pass the filter, and are waited for") {
    on_each_carrier([] {
        Pair pair = filtered_pair();
        wait_in_vain(pair.near);
        const std::string much = pattern(300'000);
        std::jthread peer{[&] {
            pair.far.sendall("0123");
            pair.far.sendall("456789" + much);
            pair.far.shutdown(ShutdownHow::write);
        }};
        std::array<char, 8> eight{};
        pair.near.recv_exactly(std::span{eight});
        CHECK(std::string_view(eight.data(), eight.size()) == "01234567");
        CHECK(pair.near.recv_exactly(2) == "89");
        CHECK((pair.near.recv_exactly(100'000) == much.substr(0, 100'000)));
        BufferedReader reader{pair.near};
        CHECK((reader.read_exactly(200'000) == much.substr(100'000)));
        CHECK_THROWS_AS(pair.near.recv_exactly(1), IncompleteReadError);
    });
}

TEST_CASE("a part of what the filter needs is waited for, as long as an operation may take") {
    on_each_carrier([] {
        Pair pair = tcp_pair();
        add_filter(pair.near);
        const std::string frame = encoded("whole");
        pair.far.sendall(frame.substr(0, 4));
        wait_in_vain(pair.near);
        pair.near.settimeout(0ms);
        CHECK(error_of([&] { pair.near.recv(100); }) == EAGAIN);
        pair.near.settimeout(longest_wait);
        pair.far.sendall(frame.substr(4));
        CHECK(pair.near.recv(100) == "whole");
        std::array<char, 8> buffer{};
        pair.near.settimeout(5ms);
        CHECK_THROWS_AS(pair.near.recv_into(buffer), TimeoutError);
    });
}

TEST_CASE("more than the kernel takes at once is sent through the filter") {
    on_each_carrier([] {
        const File file{pattern(3'000'000)};
        Pair pair = filtered_pair();
        Receiver receiver{pair.far};
        pair.near.sendall(file.content());
        CHECK(pair.near.sendfile(file.descriptor()) == file.content().size());
        CHECK(pair.near.sendfile(file.descriptor(), 1000, 5000) == 5000);
        pair.near.shutdown(ShutdownHow::write);
        const std::string received = receiver.join();
        CHECK((received == file.content() + file.content() + file.content().substr(1000, 5000)));
    });
}

TEST_CASE("a send through the filter ends with its time") {
    on_each_carrier([] {
        Pair pair = filtered_pair();
        pair.near.settimeout(50ms);
        CHECK_THROWS_AS(pair.near.sendall(pattern(20'000'000)), TimeoutError);
        pair.near.settimeout(0ms);
        // The kernel may have made room meanwhile, by giving what was sent to the other end.
        int error = 0;
        while (error == 0) error = error_of([&] { pair.near.send(pattern(10'000)); });
        CHECK(error == EAGAIN);
    });
}

TEST_CASE("rfile and wfile pass the filter") {
    on_each_carrier([] {
        Pair pair = filtered_pair();
        BufferedReader reader{pair.near};
        BufferedWriter writer{pair.near, 1000};
        std::jthread peer{[&pair] {
            std::string asked;
            while (asked != "held back\n") asked += pair.far.recv(100);
            pair.far.sendall("one\ntwo\nth");
            pair.far.sendall("ree\n" + pattern(50'000) + "\n");
            pair.far.shutdown(ShutdownHow::write);
        }};
        writer.write("held ");
        writer.write("back\n");
        CHECK(reader.readline() == "one\n");  // sends first what is held back
        CHECK(reader.readline() == "two\n");
        CHECK(reader.readline() == "three\n");
        CHECK((reader.readline() == pattern(50'000) + "\n"));
        CHECK(reader.readline().empty());
    });
}

TEST_CASE("the filter tells the peer that nothing more comes") {
    on_each_carrier([] {
        Pair pair = tcp_pair();
        add_filter(pair.near);
        const Frames& other = add_filter(pair.far);
        pair.near.sendall("last");
        pair.near.shutdown(ShutdownHow::write);
        CHECK(pair.far.recv(100) == "last");
        CHECK(pair.far.recv(100).empty());
        CHECK(other.peer_said_end);
        CHECK(pair.far.recv(100).empty());
    });
}

TEST_CASE("the filter moves with its socket, and goes with it") {
    Pair pair = tcp_pair();
    add_filter(pair.near);
    Socket moved = std::move(pair.near);
    moved.sendall("x");
    CHECK((pair.far.recv(100) == encoded("x")));
    CHECK_THROWS_AS(moved.detach(), std::system_error);
    moved.sendall("x");
    CHECK((pair.far.recv(100) == encoded("x")));
    moved.close();
    CHECK(moved.channel().filter == nullptr);
}

namespace {

/// In the middle of a handshake: sends nothing before the peer has sent a byte, and hands nothing
/// out before its own byte is in the kernel.
class WaitsForPeer : public ByteFilter {
  public:
    std::ptrdiff_t recv(Channel& channel, char* data, std::size_t size,
                        bool /*may_wait*/) override {
        return detail::recv(channel, data, size, MSG_DONTWAIT);
    }
    std::ptrdiff_t send(Channel& channel, std::string_view data) override {
        if (!is_agreed_) {
            char byte{};
            if (detail::recv(channel, &byte, 1, MSG_DONTWAIT) != 1) return -1;
            is_agreed_ = true;
        }
        return detail::send(channel, data.data(), data.size(), MSG_DONTWAIT);
    }
    bool has_pending() const noexcept override { return false; }
    void shutdown(Channel&) noexcept override {}
    Direction send_waits_for() const noexcept override {
        return is_agreed_ ? Direction::write : Direction::read;
    }

  private:
    bool is_agreed_ = false;
};

/// Makes the filter of each connection before its handler is made.
template <template <class> class MixIn>
class FilteredServer : public TCPServer<StreamEcho, MixIn> {
  public:
    using TCPServer<StreamEcho, MixIn>::TCPServer;
    ~FilteredServer() override { this->server_close(); }

  protected:
    void prepare_request(Socket& request, Address&) override { add_filter(request); }
};

template <template <class> class MixIn>
void check_server() {
    const TimeLimit limit;
    FilteredServer<MixIn> server{any_port};
    ServingThread serving{server};
    for (const std::string_view line : {"one\n", "two\nand what the handler leaves unread\n"}) {
        Socket client = connect(server.server_address());
        const Frames& filter = add_filter(client);
        client.sendall(line);
        CHECK(client.recv(100) == line.substr(0, 4));
        CHECK(client.recv(100).empty());
        CHECK(filter.peer_said_end);
    }
    Socket idle = connect(server.server_address());
    add_filter(idle);
    const DrainReport report = server.drain(20s);
    CHECK(report.remaining == 0);
    CHECK(idle.recv(100).empty());
}

}  // namespace

TEST_CASE("an operation waits for what the filter needs, even in the other direction") {
    on_each_carrier([] {
        Pair pair = tcp_pair();
        pair.near.channel().filter = std::make_unique<WaitsForPeer>();
        pair.near.settimeout(20ms);
        CHECK_THROWS_AS(pair.near.sendall("too early"), TimeoutError);
        pair.near.settimeout(longest_wait);
        std::jthread peer{[&pair] { pair.far.sendall("!"); }};
        pair.near.sendall("agreed");
        CHECK(pair.far.recv(100) == "agreed");
    });
}

TEST_CASE("a server whose connections have a filter: threads") { check_server<ThreadingMixIn>(); }

TEST_CASE("a server whose connections have a filter: processes") { check_server<ForkingMixIn>(); }

#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("a server whose connections have a filter: fibers") { check_server<FiberMixIn>(); }
#endif
