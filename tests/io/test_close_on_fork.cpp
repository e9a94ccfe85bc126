// SPDX-License-Identifier: MIT
#include "io/close_on_fork.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "socketserver/socketserver.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/sanitizers.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

namespace ss = socketserver;
using namespace std::chrono_literals;

namespace {

/// Reads to the end of stream, then answers: it must see the client end its side.
class CountHandler : public ss::StreamRequestHandler {
    void handle() override {
        wfile().write("ready\n");
        const std::size_t size = rfile().read().size();
        wfile().print("{}\n", size);
    }
};

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) != -1; }

/// Forks in another thread.
class Forker {
  public:
    /// Returns when the child has ended, or after a while if nobody may fork now.
    void fork_with(int descriptor) {
        std::promise<void> forked;
        auto done = forked.get_future();
        thread_ = std::jthread{[this, descriptor, forked = std::move(forked)]() mutable {
            const pid_t child = ::fork();
            if (child == 0) {
                const bool is_kept =
                    is_open(descriptor) && !ss::detail::CloseOnFork::knows(descriptor);
                ::_exit(is_kept ? 1 : 0);
            }
            ::waitpid(child, &status_, 0);
            forked.set_value();
        }};
        done.wait_for(50ms);  // what must not happen cannot be waited for
    }
    int status() {
        thread_.join();
        return status_;
    }

  private:
    int status_ = -1;
    std::jthread thread_;
};

}  // namespace

TEST_CASE("a child does not keep the program's own clients open") {
    const std::string address = GENERATE("tcp", "wildcard", "unix");
    const auto check = [](auto& server, const ss::Address& to) {
        std::jthread serving{[&](const std::stop_token& stop) { server.serve_forever(stop); }};
        ss::Socket first = ss::create_connection(to);
        first.settimeout(10s);
        ss::BufferedReader replies{first};
        REQUIRE(replies.readline() == "ready\n");
        // The second child is forked while the first client is open, and outlives it.
        ss::Socket second = ss::create_connection(to);
        second.settimeout(10s);
        ss::BufferedReader second_replies{second};
        REQUIRE(second_replies.readline() == "ready\n");

        first.sendall("four");
        first.shutdown(ss::ShutdownHow::write);
        CHECK(replies.readline() == "4\n");
        CHECK(replies.readline().empty());
        // With close() alone only the last copy of the descriptor ends the connection.
        second.close();
        serving.request_stop();
        serving.join();
        server.server_close();  // waits for the second child, which waits for its client's end
        CHECK(server.active_children().empty());
    };
    if (address == "unix") {
        ss::ForkingUnixStreamServer<CountHandler> server{"@" + ss::tests::own_name("clients")};
        check(server, server.server_address());
    } else {
        ss::ForkingTCPServer<CountHandler> server{{address == "tcp" ? "127.0.0.1" : "", 0}};
        check(server, {"127.0.0.1", server.server_address().port()});
    }
}

TEST_CASE("only what is, or may become, a client of the server is closed") {
    ss::Socket server{{"127.0.0.1", 0}, ss::SocketType::stream};
    server.bind({"127.0.0.1", 0});
    server.listen(8);
    ss::Socket other{{"127.0.0.1", 0}, ss::SocketType::stream};
    other.bind({"127.0.0.1", 0});
    other.listen(8);
    const ss::Socket client = ss::create_connection(server.getsockname());
    const ss::Socket elsewhere = ss::create_connection(other.getsockname());
    const ss::Socket unconnected{{"127.0.0.1", 0}, ss::SocketType::stream};
    const auto [accepted, peer] = server.accept();

    const pid_t child = ::fork();
    if (child == 0) {
        ss::detail::CloseOnFork::close_inherited(server.getsockname(), -1);
        const bool right = !is_open(client.fileno()) && !is_open(unconnected.fileno()) &&
                           is_open(elsewhere.fileno()) && is_open(accepted.fileno()) &&
                           is_open(server.fileno()) && is_open(other.fileno());
        ::_exit(right ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(is_open(client.fileno()));
}

TEST_CASE("no child has an end of a client that it does not know of") {
    using namespace ss::tests;
    Forker forker;
    SECTION("made while it was forked") {
        const Scripted<&Calls::socket> socket{[&](auto... arguments) {
            const int descriptor = sys::kernel.socket(arguments...);
            forker.fork_with(descriptor);
            return descriptor;
        }};
        const ss::Socket client{{"127.0.0.1", 0}, ss::SocketType::stream};
        CHECK(forker.status() == 0);
    }
    SECTION("closed while it was forked") {
        ss::Socket client{{"127.0.0.1", 0}, ss::SocketType::stream};
        const Scripted<&Calls::close> close{[&](int descriptor) {
            forker.fork_with(descriptor);
            return sys::kernel.close(descriptor);
        }};
        client.close();
        CHECK(forker.status() == 0);
    }
}

namespace {

/// Answers, and waits for the end of its client.
class Stay : public ss::StreamRequestHandler {
    void handle() override {
        ::alarm(50);  // a child does not inherit the time limit of the test
        wfile().write("ready\n");
        rfile().read();
    }
};

/// A child of one server runs; another one of the program is closed meanwhile.
template <template <class> class MixIn>
void check_other_server() {
    using namespace ss::tests;
    const TimeLimit limit;
    const std::string path = "/tmp/" + own_name("other-server");
    auto tcp = std::make_unique<ss::ThreadingTCPServer<Stay>>(any_port);
    auto local = std::make_unique<ss::ThreadingUnixStreamServer<Stay>>(path);
    auto udp = std::make_unique<ss::UDPServer<DatagramEcho>>(any_port);
    const ss::Address tcp_address = tcp->server_address();
    const ss::Address udp_address = udp->server_address();
    ss::TCPServer<Stay, MixIn> server{any_port};
    if constexpr (requires { server.workers; }) server.workers = 1;
    const ServingThread serving{server};
    ss::Socket client = connect(server.server_address());
    ss::BufferedReader replies{client};
    REQUIRE(replies.readline() == "ready\n");  // there is a child now, and it stays
    // As if the program had been killed, the path is still there.
    REQUIRE(::link(path.c_str(), (path + "-kept").c_str()) == 0);
    tcp.reset();
    local.reset();
    udp.reset();
    CHECK(error_of([&] { connect(tcp_address); }) == ECONNREFUSED);
    CHECK(error_of([&] { connect(ss::Address{path + "-kept"}); }) == ECONNREFUSED);
    CHECK(error_of([&] { ss::ThreadingTCPServer<Stay>{tcp_address}; }) == 0);
    CHECK(error_of([&] { ss::UDPServer<DatagramEcho>{udp_address}; }) == 0);
    CHECK(::rename((path + "-kept").c_str(), path.c_str()) == 0);
    CHECK(error_of([&] { ss::UnixStreamServer<Stay>{path}; }) == 0);
    client.shutdown(ss::ShutdownHow::write);
    CHECK(replies.readline().empty());
}

}  // namespace

TEST_CASE("a child keeps no other server of the program alive") {
    SECTION("forking") { check_other_server<ss::ForkingMixIn>(); }
    SECTION("prefork") { check_other_server<ss::PreforkMixIn>(); }
}

TEST_CASE("a fork does not wait for a descriptor that is being closed, which may linger") {
    using namespace ss::tests;
    const TimeLimit limit;
    ss::Socket client{any_port, ss::SocketType::stream};
    int status = -1;
    const Scripted<&Calls::close> close{[&](int descriptor) {
        std::thread{[&] {
            const pid_t child = ::fork();
            if (child == 0) {
                // It has it, and knows of it.
                ::_exit(ss::tests::is_open(descriptor) && ss::detail::CloseOnFork::knows(descriptor)
                            ? 0
                            : 1);
            }
            ::waitpid(child, &status, 0);
        }}.join();
        return sys::kernel.close(descriptor);
    }};
    const int descriptor = client.fileno();
    client.close();
    CHECK(status == 0);
    CHECK_FALSE(ss::detail::CloseOnFork::knows(descriptor));
}

TEST_CASE("a number that another thread gets while it is being closed stays known") {
    const int number = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    {
        ss::detail::CloseOnFork::add_client(number);
        const ss::detail::CloseOnFork::Closing closing{number};
        ss::detail::CloseOnFork::add_client(number);
    }
    CHECK(ss::detail::CloseOnFork::knows(number));
    ss::detail::CloseOnFork::remove(number);
    CHECK_FALSE(ss::detail::CloseOnFork::knows(number));
    ::close(number);
}

namespace {

/// In a child: how many descriptors are connected to the server, which has closed what it had to.
int clients_of(const ss::Address& server, int most) {
    int count = 0;
    for (int descriptor = 3; descriptor < most; ++descriptor) {
        sockaddr_in peer{};
        socklen_t size = sizeof peer;
        if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
            ntohs(peer.sin_port) == server.port()) {
            ++count;
        }
    }
    return count;
}

}  // namespace

// The kernel copies the table of descriptors before the memory that says which of them to close.
TEST_CASE("a child keeps no client that was being closed when it was forked") {
    using namespace ss::tests;
    if (!may_fork_beside_allocating_threads) return;
    const TimeLimit limit;
    ss::Socket listening{any_port, ss::SocketType::stream};
    listening.bind(any_port);
    listening.listen(128);
    const ss::Address server = listening.getsockname();
    std::atomic<bool> done{false};
    std::jthread accepting{[&] {
        while (!done) listening.accept();
    }};
    std::jthread connecting{[&] {
        while (!done) {
            ss::Socket client = ss::create_connection(server);
            reset(client);
        }
    }};
    int kept = 0;
    for (int i = 0; i < 500; ++i) {
        const pid_t child = ::fork();
        if (child == 0) {
            ss::detail::CloseOnFork::close_inherited(server, -1);
            ::_exit(clients_of(server, 64));
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        kept += status == 0 ? 0 : 1;
    }
    done = true;
    connecting.join();
    ss::create_connection(server);  // for accept() to return
    CHECK(kept == 0);
}
