// SPDX-License-Identifier: MIT
// ServerOptions::max_reply_delay: the replies to the datagrams of a batch are sent together.
#include <atomic>
#include <cerrno>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// How many messages the largest call of sendmmsg(2) was given since the object was made.
class Sent {
  public:
    unsigned largest() const { return largest_; }

  private:
    std::atomic<unsigned> largest_{0};
    Scripted<&Calls::sendmmsg> script_{
        [this](int fd, mmsghdr* messages, unsigned count, int flags) {
            if (count > largest_) largest_ = count;
            return sys::kernel.sendmmsg(fd, messages, count, flags);
        }};
};

/// Does what the test says, then sends the datagram back.
class Echo : public BaseRequestHandler<Datagram> {
  public:
    using Action = std::function<void(ServerBase&, int)>;
    explicit Echo(Action& action) : action_{action} {}

  private:
    void handle() override {
        if (action_) action_(server(), std::stoi(request().data()));
        request().socket().sendto(request().data(), client_address());
    }
    Action& action_;
};

constexpr int sent = 60;

template <template <class> class MixIn = SynchronousMixIn>
struct EchoServer {
    explicit EchoServer(std::optional<std::chrono::nanoseconds> delay = patience)
        : server{any_port, {.max_reply_delay = delay}, [this] { return Echo{action}; }},
          client{connect(server.server_address(), SocketType::datagram)} {}

    /// They are in the queue of the kernel when this returns.
    void send(int last = sent) {
        for (int i = 1; i <= last; ++i) client.sendall(std::to_string(i));
    }
    /// Whether exactly the replies to these have come, in order.
    void check_replies(int first, int last) {
        for (int i = first; i <= last; ++i) CHECK(client.recv(100) == std::to_string(i));
        CHECK_FALSE(has_more());
    }
    bool has_more() const {
        char byte = 0;
        return ::recv(client.fileno(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) != -1;
    }

    Echo::Action action;
    UDPServer<Echo, MixIn> server;
    Socket client;
};

}  // namespace

TEST_CASE("the replies to a batch are sent together, in order") {
    const TimeLimit limit;
    const Sent calls;
    EchoServer<> test;
    test.send();
    ServingThread serving{test.server};
    test.check_replies(1, sent);
    CHECK(calls.largest() == 16);
}

TEST_CASE("replies are sent at once") {
    const TimeLimit limit;
    const Sent calls;
    SECTION("if the option is not set") {
        EchoServer<> test{std::nullopt};
        test.send();
        ServingThread serving{test.server};
        test.check_replies(1, sent);
    }
    SECTION("if each is waited for") {
        EchoServer<> test;
        ServingThread serving{test.server};
        for (int i = 0; i < 100; ++i) CHECK(ask(test.client, "1") == "1");
    }
    SECTION("by handlers in threads of their own") {
        EchoServer<ThreadingMixIn> test;
        test.send();
        ServingThread serving{test.server};
        for (int i = 0; i < sent; ++i) CHECK_FALSE(test.client.recv(100).empty());
    }
    CHECK(calls.largest() == 0);
}

TEST_CASE("the replies before a handler that waits are sent first") {
    const TimeLimit limit;
    EchoServer<> test;
    // The 8th handler waits, in the middle of a batch, until the client has its first 7 replies.
    std::function<void()> wait;
    std::function<void()> end_wait;
    auto pair = unix_pair();
    Socket& near = pair.near;
    Socket& far = pair.far;
    near.settimeout(patience);
    SECTION("for bytes") {
        wait = [&] { static_cast<void>(near.recv(1)); };
        end_wait = [&] { far.sendall("x"); };
    }
    SECTION("for any of several things") {
        wait = [&] { select({near}, patience); };
        end_wait = [&] { far.sendall("x"); };
    }
    SECTION("for room to send") {
        constexpr std::size_t much = 8 << 20;
        wait = [&] { near.sendall(std::string(much, 'x')); };
        end_wait = [&] {
            for (std::size_t left = much; left > 0;) left -= far.recv(left).size();
        };
    }
    test.action = [&](ServerBase&, int number) {
        if (number == 8) wait();
    };
    test.send();
    ServingThread serving{test.server};
    for (int i = 1; i <= 7; ++i) CHECK(test.client.recv(100) == std::to_string(i));
    end_wait();
    test.check_replies(8, sent);
}

TEST_CASE("a reply that is older than it may be is sent before the next handler begins") {
    const TimeLimit limit;
    EchoServer<> test{0ns};
    int missing = 0;  // only the serving thread uses it, until it has ended
    test.action = [&](ServerBase&, int number) {
        if (number > 1 && test.client.recv(100) != std::to_string(number - 1)) ++missing;
    };
    test.send();
    test.client.settimeout(0s);  // the handler does not wait for it
    std::thread stop{[&] {
        eventually([&] { return test.server.statistics().closed() == sent; });
        test.server.shutdown();
    }};
    test.server.serve_forever();
    stop.join();
    CHECK(missing == 0);
    CHECK(test.server.statistics().closed() == sent);
}

TEST_CASE("a stop in the middle of a batch loses no reply") {
    const TimeLimit limit;
    EchoServer<> test;
    SECTION("by shutdown()") {
        test.action = [](ServerBase& server, int number) {
            if (number == 8) server.shutdown();
        };
    }
    SECTION("by server_close()") {
        test.action = [](ServerBase& server, int number) {
            if (number == 8) server.server_close();
        };
    }
    test.send();
    test.server.serve_forever();
    test.check_replies(1, 8);
}

TEST_CASE("long replies keep their place among the others") {
    const TimeLimit limit;
    class Long : public BaseRequestHandler<Datagram> {
        void handle() override {
            const std::size_t size = std::stoi(request().data()) % 3 == 0 ? 5000 : 10;
            std::string reply = request().data() + " ";
            reply.resize(size, 'x');
            request().socket().sendto(reply, client_address());
        }
    };
    UDPServer<Long> server{any_port, {.max_reply_delay = patience}};
    Socket client = connect(server.server_address(), SocketType::datagram);
    for (int i = 1; i <= sent; ++i) client.sendall(std::to_string(i));
    ServingThread serving{server};
    for (int i = 1; i <= sent; ++i) {
        const std::string reply = client.recv(65536);
        CHECK(reply.size() == (i % 3 == 0 ? 5000U : 10U));
        CHECK(reply.substr(0, reply.find(' ')) == std::to_string(i));
    }
}

TEST_CASE("replies that are sent together come from the address that was asked") {
    const TimeLimit limit;
    const Sent calls;
    Echo::Action none;
    UDPServer<Echo> server{
        Address{"", 0}, {.max_reply_delay = patience}, [&] { return Echo{none}; }};
    const auto port = server.server_address().port();
    std::vector<Socket> clients;  // connected: each receives only from the address that it asked
    for (const char* host : {"127.0.0.1", "127.0.0.2", "127.0.0.3"}) {
        clients.push_back(connect(Address{host, port}, SocketType::datagram));
    }
    for (int i = 0; i < 10; ++i) {
        for (Socket& client : clients) client.sendall(std::to_string(i));
    }
    ServingThread serving{server};
    for (int i = 0; i < 10; ++i) {
        for (Socket& client : clients) CHECK(client.recv(100) == std::to_string(i));
    }
    CHECK(calls.largest() > 1);
}

TEST_CASE("a reply that cannot be sent costs no other one, and is counted") {
    const TimeLimit limit;
    EchoServer<> test;
    bool has_failed = false;
    const Scripted<&Calls::sendmmsg> script{
        [&](int fd, mmsghdr* messages, unsigned count, int flags) {
            if (!std::exchange(has_failed, true)) return fail(EPERM);
            return sys::kernel.sendmmsg(fd, messages, count, flags);
        }};
    test.send();
    ServingThread serving{test.server};
    for (int i = 1; i <= 4; ++i) CHECK(test.client.recv(100) == std::to_string(i));
    test.check_replies(6, sent);  // the 5th was the first of a batch
    CHECK(test.server.statistics().replies_failed == 1);
}

TEST_CASE("replies for which the kernel has no room are sent when it has") {
    const TimeLimit limit;
    EchoServer<> test;
    int calls = 0;
    const Scripted<&Calls::sendmmsg> script{
        [&](int fd, mmsghdr* messages, unsigned count, int flags) {
            ++calls;
            if (calls % 3 == 1) return fail(EINTR);
            if (calls % 3 == 2) return fail(EAGAIN);
            return sys::kernel.sendmmsg(fd, messages, count > 2 ? 2 : count, flags);
        }};
    test.send();
    ServingThread serving{test.server};
    test.check_replies(1, sent);
    CHECK(test.server.statistics().replies_failed == 0);
}

TEST_CASE("a child that a handler forks sends no reply of its parent") {
    if (!may_fork_beside_allocating_threads) return;
    const TimeLimit limit;
    EchoServer<> test;
    std::atomic<int> status{-1};
    test.action = [&](ServerBase&, int number) {
        if (number != 8) return;
        const pid_t child = ::fork();
        if (child == 0) {
            auto pair = unix_pair();
            select({pair.near}, 1ms);  // a wait, before which replies would be sent
            ::_exit(7);
        }
        int ended = 0;
        if (::waitpid(child, &ended, 0) == child) status = WEXITSTATUS(ended);
    };
    test.send();
    ServingThread serving{test.server};
    test.check_replies(1, sent);
    CHECK(status == 7);
}
