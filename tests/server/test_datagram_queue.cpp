// SPDX-License-Identifier: MIT
// Datagrams that are received several at a time, and handed out one by one.
#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/datagram_queue.hpp"
#include "support/catch.hpp"
#include "support/in_child.hpp"
#include "support/policies.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

#ifdef SOCKETSERVER_TEST_FIBER
#    include "socketserver/fiber_mixin.hpp"
#endif

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// How many batches were received since the object was made, and how many datagrams the largest
/// had.
class Batches {
  public:
    int count() const { return count_; }
    int largest() const { return largest_; }

  private:
    std::atomic<int> count_{0};
    std::atomic<int> largest_{0};
    Scripted<&Calls::recvmmsg> script_{
        [this](int fd, mmsghdr* messages, unsigned count, int flags) {
            const int received = sys::kernel.recvmmsg(fd, messages, count, flags);
            if (received > 0) ++count_;
            if (received > largest_) largest_ = received;
            return received;
        }};
};

/// Notes the number that each datagram is, and then does what the test says.
class Note : public BaseRequestHandler<Datagram> {
  public:
    using Action = std::function<void(ServerBase&, int)>;
    struct Notes {
        std::mutex mutex;
        std::vector<int> numbers;
        Action action = [](ServerBase&, int) {};

        std::vector<int> get() {
            const std::lock_guard lock{mutex};
            return numbers;
        }
        std::size_t count() { return get().size(); }
    };
    explicit Note(Notes& notes) : notes_{notes} {}

  private:
    void handle() override {
        const int number = std::stoi(request().data());
        {
            const std::lock_guard lock{notes_.mutex};
            notes_.numbers.push_back(number);
        }
        notes_.action(server(), number);
    }
    Notes& notes_;
};

template <template <class> class MixIn = SynchronousMixIn>
struct NotingServer {
    explicit NotingServer(const ServerOptions& options = {})
        : server{any_port, options, [this] { return Note{notes}; }},
          client{connect(server.server_address(), SocketType::datagram)} {}

    /// They are in the queue of the kernel when this returns.
    void send(int first, int last) {
        for (int i = first; i <= last; ++i) client.sendall(std::to_string(i));
    }

    Note::Notes notes;
    UDPServer<Note, MixIn> server;
    Socket client;
};

std::vector<int> from_to(int first, int last) {
    std::vector<int> numbers(static_cast<std::size_t>(last - first + 1));
    std::iota(numbers.begin(), numbers.end(), first);
    return numbers;
}

/// A server whose handler of number `last` has called shutdown(), with more in its batch.
template <template <class> class MixIn = SynchronousMixIn>
struct StoppedServer : NotingServer<MixIn> {
    static constexpr int last = 8;
    static constexpr int sent = 60;

    StoppedServer() {
        this->notes.action = [](ServerBase& of, int number) {
            if (number == last) of.shutdown();
        };
        this->send(1, sent);
        this->server.serve_forever();
    }
};

}  // namespace

TEST_CASE("datagrams that wait are received together, and handed out in order") {
    const TimeLimit limit;
    const Batches batches;
    NotingServer<> test;
    test.send(1, 100);
    ServingThread serving{test.server};
    CHECK(eventually([&] { return test.notes.count() == 100; }));
    CHECK(test.notes.get() == from_to(1, 100));
    CHECK(batches.largest() == detail::DatagramQueue::most);
}

TEST_CASE("what the kernel tells of each datagram of a batch") {
    const TimeLimit limit;
    const Batches batches;
    class Describe : public BaseRequestHandler<Datagram> {
        void handle() override {
            request().socket().sendto(
                fmt::format("{} {} {} {}", request().data(), request().truncated(),
                            request().local_address().host(), request().interface_index() != 0),
                client_address());
        }
    };
    UDPServer<Describe> server{Address{"", 0}, {.max_packet_size = 4}};
    const auto port = server.server_address().port();
    std::vector<Socket> clients;
    for (const char* host : {"127.0.0.1", "127.0.0.2", "127.0.0.3"}) {
        clients.push_back(connect(Address{host, port}, SocketType::datagram));
    }
    const std::array<std::pair<std::string, std::string>, 4> texts{
        {{"one", "one false"}, {"", " false"}, {"four", "four false"}, {"fivefive", "five true"}}};
    for (int i = 0; i < 4; ++i) {
        for (const auto& each : texts) {
            for (Socket& client : clients) client.sendall(each.first);
        }
    }
    ServingThread serving{server};
    for (int i = 0; i < 4; ++i) {
        for (const auto& each : texts) {
            for (Socket& client : clients) {
                CHECK(client.recv(100) ==
                      each.second + " " + client.getpeername().host() + " true");
            }
        }
    }
    CHECK(batches.largest() > 1);
    CHECK(eventually([&] { return server.statistics().closed() == 48; }));
    CHECK(server.statistics().datagrams_truncated == 12);
}

TEST_CASE("one client that waits for each reply is not served by batches") {
    const TimeLimit limit;
    const Batches batches;
    UDPServer<DatagramEcho> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address(), SocketType::datagram);
    for (int i = 0; i < 100; ++i) CHECK(ask(client, "x\n") == "x\n");
    // Tried after 4, 8, 16 and 32.
    CHECK(batches.count() <= 4);
}

TEST_CASE("every datagram is served once, under every policy") {
    under_every_policy([]<template <class> class MixIn>() {
        UDPServer<DatagramEcho, MixIn> server{any_port};
        Socket client = connect(server.server_address(), SocketType::datagram);
        std::multiset<std::string> sent;
        for (int i = 0; i < 60; ++i) {
            sent.insert(std::to_string(i));
            client.sendall(std::to_string(i));
        }
        ServingThread serving{server};
        std::multiset<std::string> received;
        while (received.size() < sent.size()) received.insert(client.recv(100));
        CHECK(received == sent);
        CHECK(eventually([&] { return server.statistics().closed() == sent.size(); }));
        CHECK(server.statistics().accepted == sent.size());
    });
}

TEST_CASE("after a stop in the middle of a batch the next serve goes on") {
    const TimeLimit limit;
    const Batches batches;
    StoppedServer<> test;
    REQUIRE(batches.largest() > 1);
    CHECK(test.notes.get() == from_to(1, test.last));  // and no more after shutdown()
    for (int more = 1; more <= 2; ++more) {
        test.server.handle_request();  // one each
        CHECK(test.notes.get() == from_to(1, test.last + more));
    }
    ServingThread serving{test.server};
    CHECK(eventually([&] { return test.notes.count() == test.sent; }));
    CHECK(test.notes.get() == from_to(1, test.sent));
}

TEST_CASE("handle_request() takes one datagram from the kernel") {
    const TimeLimit limit;
    const Batches batches;
    NotingServer<> test;
    test.send(1, 20);
    for (int i = 1; i <= 20; ++i) {
        test.server.handle_request();
        CHECK(test.notes.get() == from_to(1, i));
    }
    CHECK(batches.largest() == 0);
}

TEST_CASE("a drain serves what is left of a batch") {
    const TimeLimit limit;
    const Batches batches;
    StoppedServer<> test;
    REQUIRE(batches.largest() > 1);
    SECTION("with the queue of the kernel") {
        CHECK(test.server.drain(patience).remaining == 0);
        CHECK(test.notes.get() == from_to(1, test.sent));
    }
    SECTION("and leaves that of the kernel") {
        test.server.drain(patience, AcceptQueue::leave);
        // Four came one by one, before the batch.
        CHECK(test.notes.get() == from_to(1, 4 + static_cast<int>(detail::DatagramQueue::most)));
    }
}

TEST_CASE("a drain in the middle of a batch") {
    const TimeLimit limit;
    NotingServer<> test;
    std::jthread drain;
    test.notes.action = [&](ServerBase& server, int number) {
        if (number != 8) return;
        drain = std::jthread{[&] { server.drain(patience); }};
        eventually([&] { return server.is_draining(); });
    };
    test.send(1, 60);
    test.server.serve_forever();
    CHECK(test.notes.get() == from_to(1, 60));
}

TEST_CASE("a server that pauses keeps its batch") {
    const TimeLimit limit;
    NotingServer<> test;
    std::atomic<bool> has_paused{false};
    test.notes.action = [&](ServerBase& server, int number) {
        if (number != 8) return;
        server.pause();
        has_paused = true;
    };
    test.send(1, 60);
    ServingThread serving{test.server};
    CHECK(eventually([&] { return has_paused.load(); }));
    CHECK(test.notes.get() == from_to(1, 8));
    test.server.resume();
    CHECK(eventually([&] { return test.notes.count() == 60; }));
    CHECK(test.notes.get() == from_to(1, 60));
}

TEST_CASE("limits apply to each datagram of a batch") {
    const TimeLimit limit;
    const Batches batches;
    NotingServer<ThreadingMixIn> test{{.max_connections = 8}};
    std::atomic<bool> goes_on{false};
    std::atomic<int> now{0};
    std::atomic<int> most{0};
    test.notes.action = [&](ServerBase&, int) {
        const int active = ++now;
        int before = most;
        while (before < active && !most.compare_exchange_weak(before, active)) {
        }
        eventually([&] { return goes_on.load(); });
        --now;
    };
    test.send(1, 100);
    ServingThread serving{test.server};
    CHECK(eventually([&] { return now == 8; }));
    CHECK(batches.largest() > 1);  // so that some of it must wait for room
    goes_on = true;
    CHECK(eventually([&] { return test.notes.count() == 100; }));
    CHECK(most == 8);
    CHECK(eventually([&] { return test.server.statistics().closed() == 100; }));
}

TEST_CASE("several loops of one server share no batch") {
    const TimeLimit limit;
    NotingServer<> test;
    std::atomic<bool> is_blocked{false};
    std::atomic<bool> goes_on{false};
    test.notes.action = [&](ServerBase&, int number) {
        if (number != 1) return;
        is_blocked = true;
        eventually([&] { return goes_on.load(); });
    };
    ServingThread one{test.server};
    ServingThread other{test.server};
    test.send(1, 1);
    CHECK(eventually([&] { return is_blocked.load(); }));
    const Batches batches;
    test.send(2, 60);
    CHECK(eventually([&] { return test.notes.count() == 60; }));
    goes_on = true;
    CHECK(batches.largest() == 0);
}

TEST_CASE("a batch that cannot be received costs no datagram") {
    const TimeLimit limit;
    NotingServer<> test;
    std::atomic<int> failures{3};
    const Scripted<&Calls::recvmmsg> script{
        [&](int fd, mmsghdr* messages, unsigned count, int flags) {
            if (failures > 0) return --failures, fail(failures % 2 == 0 ? ENOMEM : EINTR);
            return sys::kernel.recvmmsg(fd, messages, count, flags);
        }};
    test.send(1, 60);
    ServingThread serving{test.server};
    CHECK(eventually([&] { return test.notes.count() == 60; }));
    CHECK(test.notes.get() == from_to(1, 60));
    CHECK(failures == 0);
    CHECK(test.server.statistics().accept_errors == 2);
}

TEST_CASE("a child that serves a copy does not serve the batch of its parent") {
    if (!may_fork_beside_allocating_threads) return;
    const TimeLimit limit;
    StoppedServer<> test;
    const int received = 4 + static_cast<int>(detail::DatagramQueue::most);
    const ChildEnd end = in_child([&] {
        test.server.handle_request();
        ::_exit(test.notes.get().back() == received + 1 ? 7 : 8);
    });
    CHECK(end.exited_with(7));
    ServingThread serving{test.server};
    CHECK(eventually([&] { return test.notes.count() == test.sent - 1; }));
    std::vector<int> expected = from_to(1, test.sent);
    expected.erase(expected.begin() + received);
    CHECK(test.notes.get() == expected);
}
