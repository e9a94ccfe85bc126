// SPDX-License-Identifier: MIT
// Handing over: a new process takes the listening socket while the old one drains, under load.
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "socketserver/handover.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

using Server = TCPServer<StreamEcho, ThreadingMixIn>;

std::pair<Socket, Socket> socket_pair() {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1) {
        throw std::system_error(errno, std::system_category(), "socketpair");
    }
    std::pair<Socket, Socket> pair{Socket{ends[0]}, Socket{ends[1]}};
    pair.first.settimeout(patience);
    pair.second.settimeout(patience);
    return pair;
}

/// One generation of a program: takes the listener over from `before`, serves, hands it over to
/// who asks on `after`. In a process of its own.
int run_generation(Socket before, Socket after) {
    const TimeLimit limit;
    Server server{receive_listener(before)};
    std::thread serving{[&] { server.serve_forever(); }};
    before.sendall("r");
    before.close();
    int status = 0;
    if (after.recv(1) == "g") {
        send_listener(after, server);
        const bool taken = after.recv(1) == "r";
        const DrainReport report =
            server.drain(20s, taken ? AcceptQueue::leave : AcceptQueue::serve);
        status = taken && report.cancelled == 0 && report.remaining == 0 ? 0 : 1;
    } else {
        server.shutdown();
    }
    serving.join();
    return status;
}

/// Clients that connect one after the other until they are told to stop.
class Load {
  public:
    explicit Load(const Address& address) {
        for (int i = 0; i < 3; ++i) {
            threads_.emplace_back([this, address] {
                while (!stop_) {
                    try {
                        (ask(address, "hello\n") == "hello\n" ? answered : lost)++;
                    } catch (const std::system_error&) {
                        ++lost;
                    }
                }
            });
        }
    }
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;
    ~Load() { stop(); }
    void stop() {
        stop_ = true;
        for (std::thread& thread : threads_) {
            if (thread.joinable()) thread.join();
        }
    }
    void wait_for_more(int requests) const {
        const int before = answered;
        while (answered < before + requests) std::this_thread::yield();
    }
    std::atomic<int> answered{0};
    std::atomic<int> lost{0};

  private:
    std::atomic<bool> stop_{false};
    std::vector<std::thread> threads_;
};

}  // namespace

TEST_CASE("ten times in a row a new process takes over, and no request is lost") {
    const TimeLimit limit;
    constexpr std::size_t generations = 10;
    // Everything that the processes need is made before there are threads.
    std::vector<std::pair<Socket, Socket>> links;
    for (std::size_t i = 0; i <= generations; ++i) links.push_back(socket_pair());
    std::vector<pid_t> children;
    for (std::size_t i = 0; i < generations; ++i) {
        const pid_t child = ::fork();
        REQUIRE(child != -1);
        if (child == 0) {
            Socket before = std::move(links[i].second);
            Socket after = std::move(links[i + 1].first);
            links.clear();
            int status = 2;
            try {
                status = run_generation(std::move(before), std::move(after));
            } catch (...) {  // the parent sees the status
            }
            ::_exit(status);
        }
        children.push_back(child);
    }
    // Generation i is told to go by the test, which passes on what the two say to each other only
    // where it must: the first link is served by the test itself.
    Server first{any_port};
    const Address address = first.server_address();
    ServingThread serving{first};
    Load load{address};
    load.wait_for_more(50);
    send_listener(links[0].first, first);
    CHECK(links[0].first.recv(1) == "r");
    CHECK(first.drain(20s, AcceptQueue::leave).cancelled == 0);
    for (std::size_t i = 1; i < generations; ++i) {
        load.wait_for_more(50);
        links[i].second.sendall("g");
        int status = -1;
        CHECK(::waitpid(children[i - 1], &status, 0) == children[i - 1]);
        CHECK(status == 0);
    }
    load.wait_for_more(50);
    load.stop();
    CHECK(load.lost == 0);
    links[generations].second.close();
    for (auto& link : links) link.first.close();
    int status = -1;
    CHECK(::waitpid(children.back(), &status, 0) == children.back());
    CHECK(status == 0);
}

TEST_CASE("if the new process fails to start, the old one serves on") {
    const TimeLimit limit;
    Server server{any_port};
    ServingThread serving{server};
    auto [here, there] = socket_pair();
    send_listener(here, server);
    {
        // It has the socket, and ends.
        const Socket taken = receive_listener(there);
        there.close();
    }
    CHECK(here.recv(1).empty());
    CHECK(ask(server.server_address(), "hello\n") == "hello\n");
}

TEST_CASE("what is no socket is refused, and a peer that is silent is not waited for") {
    const TimeLimit limit;
    auto [here, there] = socket_pair();
    there.settimeout(10ms);
    CHECK_THROWS_AS(receive_listener(there), TimeoutError);
    here.sendall("x");
    CHECK_THROWS_AS(receive_listener(there), std::system_error);
    here.close();
    CHECK_THROWS_AS(receive_listener(there), std::system_error);
}

TEST_CASE("a message with other descriptors than one is refused, and leaves none behind") {
    const TimeLimit limit;
    auto [here, there] = socket_pair();
    // 253 is what the kernel lets through; more than expected, and far more.
    const std::size_t count = GENERATE(as<std::size_t>{}, 2, 3, 40, 253);
    CAPTURE(count);
    REQUIRE(send_with_descriptors(here, "l", std::vector<int>(count, here.fileno())));
    const std::size_t before = open_descriptors();
    CHECK(error_of([&, &receiver = there] { receive_listener(receiver); }) == EBADMSG);
    CHECK(open_descriptors() == before);
}

TEST_CASE("a new process takes over a Unix server without touching its path") {
    const TimeLimit limit;
    const std::string path = "/tmp/" + own_name("handover");
    UnixStreamServer<StreamEcho> old{path};
    auto [here, there] = socket_pair();
    send_listener(here, old);
    UnixStreamServer<StreamEcho> fresh{receive_listener(there)};
    CHECK(old.drain(20s, AcceptQueue::leave).finished == 0);
    ServingThread serving{fresh};
    CHECK(ask(Address{path}, "hello\n") == "hello\n");
    serving.stop();
    CHECK(::unlink(path.c_str()) == 0);
}
