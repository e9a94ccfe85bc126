// SPDX-License-Identifier: MIT
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/io/byte_filter.hpp"
#include "support/carriers.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/serving.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::ContainsSubstring;

namespace {

/// Passes everything as it is.
class Plain : public detail::ByteFilter {
    std::ptrdiff_t recv(detail::Channel& channel, char* data, std::size_t size, bool) override {
        return detail::recv(channel, data, size, MSG_DONTWAIT);
    }
    std::ptrdiff_t send(detail::Channel& channel, std::string_view data) override {
        return detail::send(channel, data.data(), data.size(), MSG_DONTWAIT);
    }
    bool has_pending() const noexcept override { return false; }
    void shutdown(detail::Channel&) noexcept override {}
};

}  // namespace

TEST_CASE("keep-alive is set with its times, and taken back") {
    Pair pair = tcp_pair();
    pair.near.set_keepalive(KeepAlive{90s, 7s, 3});
    CHECK(pair.near.getsockopt(SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(pair.near.getsockopt(IPPROTO_TCP, TCP_KEEPIDLE) == 90);
    CHECK(pair.near.getsockopt(IPPROTO_TCP, TCP_KEEPINTVL) == 7);
    CHECK(pair.near.getsockopt(IPPROTO_TCP, TCP_KEEPCNT) == 3);
    pair.near.set_keepalive({});
    CHECK(pair.near.getsockopt(SOL_SOCKET, SO_KEEPALIVE) == 0);
    CHECK_THROWS_WITH(pair.near.set_keepalive(KeepAlive{1'000'000s, 1s, 1}),
                      ContainsSubstring("set TCP_KEEPIDLE"));
    Pair local = unix_pair();
    CHECK_THROWS_AS(local.near.set_keepalive(KeepAlive{}), std::system_error);
}

TEST_CASE("linger, the user timeout and the buffers are what was asked for") {
    Pair pair = tcp_pair();
    pair.near.set_linger(5s);
    CHECK(pair.near.getsockopt<linger>(SOL_SOCKET, SO_LINGER).l_onoff == 1);
    CHECK(pair.near.getsockopt<linger>(SOL_SOCKET, SO_LINGER).l_linger == 5);
    pair.near.set_linger({});
    CHECK(pair.near.getsockopt<linger>(SOL_SOCKET, SO_LINGER).l_onoff == 0);
    pair.near.set_user_timeout(1500ms);
    CHECK(pair.near.getsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT) == 1500);
    pair.near.set_user_timeout({});
    CHECK(pair.near.getsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT) == 0);
    pair.near.set_receive_buffer(20'000);
    CHECK(pair.near.getsockopt(SOL_SOCKET, SO_RCVBUF) == 40'000);
    pair.near.set_send_buffer(10'000);
    CHECK(pair.near.getsockopt(SOL_SOCKET, SO_SNDBUF) == 20'000);
}

TEST_CASE("with a linger of zero close() resets the connection") {
    Pair pair = tcp_pair();
    pair.near.set_linger(0s);
    pair.near.close();
    CHECK(error_of([&] { pair.far.recv(1); }) == ECONNRESET);
}

TEST_CASE("any option by its number") {
    Pair pair = tcp_pair();
    pair.near.setsockopt(IPPROTO_IP, IP_TOS, 0x10);
    CHECK(pair.near.getsockopt(IPPROTO_IP, IP_TOS) == 0x10);
    const timeval time{.tv_sec = 2, .tv_usec = 0};
    pair.near.setsockopt(SOL_SOCKET, SO_SNDTIMEO, time);
    CHECK(pair.near.getsockopt<timeval>(SOL_SOCKET, SO_SNDTIMEO).tv_sec == 2);
    CHECK_THROWS_WITH(pair.near.setsockopt(SOL_SOCKET, 9999, 1),
                      ContainsSubstring("set option 9999 of level 1"));
    CHECK_THROWS_WITH(pair.near.getsockopt(SOL_SOCKET, 9999),
                      ContainsSubstring("get option 9999 of level 1"));
    // Half of an answer is none.
    CHECK_THROWS_WITH(pair.near.getsockopt<timeval>(SOL_SOCKET, SO_TYPE),
                      ContainsSubstring("has 4 bytes, not " + std::to_string(sizeof(timeval))));
    Socket closed;
    CHECK(error_of([&] { closed.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1); }) == EBADF);
    CHECK(error_of([&] { closed.getsockopt(SOL_SOCKET, SO_KEEPALIVE); }) == EBADF);
}

namespace {
/// Sets what must be set before the server binds.
class OnlyIPv6 : public ThreadingTCPServer<StreamEcho> {
  public:
    OnlyIPv6() : TCPServer{{"::", 0}, {.bind_and_activate = false}} {
        server_bind();
        server_activate();
    }
    ~OnlyIPv6() override { server_close(); }

  private:
    void server_bind() override {
        socket().setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1);
        TCPServer::server_bind();
    }
};
}  // namespace

TEST_CASE("an option that server_bind() sets survives") {
    OnlyIPv6 server;
    CHECK(server.socket().getsockopt(IPPROTO_IPV6, IPV6_V6ONLY) == 1);
}

TEST_CASE("the process at the other end of a Unix socket") {
    const Pair pair = unix_pair();
    const PeerCredentials peer = pair.near.peer_credentials();
    CHECK(peer.pid == ::getpid());
    CHECK(peer.uid == ::getuid());
    CHECK(peer.gid == ::getgid());
    const Pair tcp = tcp_pair();
    CHECK(error_of([&] { tcp.near.peer_credentials(); }) == EOPNOTSUPP);
    CHECK(error_of([] { Socket{}.peer_credentials(); }) == EBADF);
}

TEST_CASE("descriptors are passed, and belong to the receiver") {
    on_each_carrier([] {
        const std::size_t before = open_descriptors();
        {
            Pair pair = unix_pair();
            pair.near.settimeout(5ms);
            CHECK_THROWS_AS(pair.near.recv_fds(100, 4), TimeoutError);
            pair.near.settimeout(longest_wait);
            Pair passed = unix_pair();
            const std::array<int, 2> both{passed.near.fileno(), passed.far.fileno()};
            std::jthread sending{[&] { pair.far.send_fds("two", both); }};
            ReceivedFds received = pair.near.recv_fds(100, 4);
            sending.join();
            CHECK(received.data == "two");
            REQUIRE(received.descriptors.size() == 2);
            CHECK_FALSE(received.truncated);
            CHECK(is_close_on_exec(received.descriptors[0].fileno()));
            received.descriptors[0].sendall("through the copy");
            CHECK(passed.far.recv(100) == "through the copy");
        }
        CHECK(open_descriptors() == before);
    });
}

TEST_CASE("descriptors for which there is no room are closed") {
    Pair pair = unix_pair();
    Pair passed = unix_pair();
    const std::array<int, 2> both{passed.near.fileno(), passed.far.fileno()};
    const std::size_t before = open_descriptors();
    pair.far.send_fds("x", both);
    const ReceivedFds received = pair.near.recv_fds(100, 1);
    CHECK(received.descriptors.size() == 1);
    CHECK(received.truncated);
    CHECK(open_descriptors() == before + 1);
}

TEST_CASE("bytes without descriptors, and the end, are received as by recv()") {
    Pair pair = unix_pair();
    pair.far.send_fds("none", {});
    CHECK(pair.near.recv_fds(2, 1).data == "no");
    CHECK(pair.near.recv_fds(100, 1).descriptors.empty());
    pair.far.close();
    CHECK(pair.near.recv_fds(100, 1).data.empty());
    CHECK(error_of([&] { pair.near.send_fds("x", {}); }) == EPIPE);
}

TEST_CASE("more than the kernel takes at once goes with the descriptor") {
    on_each_carrier([] {
        Pair pair = unix_pair();
        const std::string much(1'000'000, 'm');
        std::jthread sending{[&] {
            pair.far.send_fds(much, std::array{pair.far.fileno()});
            pair.far.shutdown(ShutdownHow::write);
        }};
        ReceivedFds first = pair.near.recv_fds(65536, 4);
        CHECK(first.descriptors.size() == 1);
        CHECK(first.data.size() + receive_all(pair.near).size() == much.size());
    });
}

TEST_CASE("descriptors that cannot be passed are refused") {
    Pair pair = unix_pair();
    CHECK_THROWS_AS(pair.near.send_fds("", std::array{1}), std::invalid_argument);
    CHECK_THROWS_AS(pair.near.send_fds("x", std::vector<int>(254, 1)), std::invalid_argument);
    CHECK(error_of([&] { pair.near.send_fds("x", std::array{-1}); }) == EBADF);
    pair.near.channel().filter = std::make_unique<Plain>();
    CHECK(error_of([&] { pair.near.send_fds("x", std::array{1}); }) == EOPNOTSUPP);
    CHECK(error_of([&] { pair.near.recv_fds(1, 1); }) == EOPNOTSUPP);
}
