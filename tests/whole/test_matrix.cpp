// SPDX-License-Identifier: MIT
// Every transport under every policy, over one body, as CPython's test_socketserver has it.
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

template <class Server>
void serve_three_clients(const Address& address, SocketType type) {
    Server server{address};
    CHECK(server.server_address() == server.socket().getsockname());
    CHECK(server.fileno() == server.socket().fileno());
    CHECK(server.server_address() != Address{"127.0.0.1", 0});
    {
        ServingThread serving{server, 10ms};
        std::vector<Socket> clients;
        for (int i = 0; i < 3; ++i) clients.push_back(connect(server.server_address(), type));
        for (Socket& client : clients) {
            CHECK(ask(client, "hello world\n") == "hello world\n");
        }
        serving.stop();
        CHECK_FALSE(serving.error());
    }
    server.server_close();
    CHECK(server.fileno() == -1);
    if constexpr (requires { server.active_children(); }) CHECK(server.active_children().empty());
    if constexpr (requires { server.worker_pids(); }) CHECK(server.worker_pids().empty());
}

template <template <class> class MixIn>
void every_transport() {
    const TimeLimit limit;
    const Counts before;
    SECTION("TCP") {
        serve_three_clients<TCPServer<StreamEcho, MixIn>>({"127.0.0.1", 0}, SocketType::stream);
    }
    SECTION("UDP") {
        serve_three_clients<UDPServer<DatagramEcho, MixIn>>({"127.0.0.1", 0}, SocketType::datagram);
    }
    SECTION("Unix stream") {
        const std::string path = "/tmp/" + own_name("stream");
        serve_three_clients<UnixStreamServer<StreamEcho, MixIn>>(path, SocketType::stream);
        CHECK(::access(path.c_str(), F_OK) == -1);
    }
    SECTION("Unix datagram") {
        const std::string path = "/tmp/" + own_name("datagram");
        serve_three_clients<UnixDatagramServer<DatagramEcho, MixIn>>(path, SocketType::datagram);
        CHECK(::access(path.c_str(), F_OK) == -1);
    }
    CHECK(before.are_back());
}

template <template <class> class MixIn>
void serve_one_by_one() {
    const TimeLimit limit;
    const Counts before;
    {
        TCPServer<StreamEcho, MixIn> server{{"127.0.0.1", 0}, {.timeout = 0ms}};
        server.handle_request();  // nobody is there
        for (int i = 0; i < 3; ++i) {
            Socket client = connect(server.server_address());
            client.sendall("one\n");
            server.handle_request();
            CHECK(read_to_end(client) == "one\n");
        }
    }
    CHECK(before.are_back());
}

template <template <class> class MixIn>
class TimeoutCountingServer : public TCPServer<EchoLines, MixIn> {
  public:
    using TCPServer<EchoLines, MixIn>::TCPServer;
    ~TimeoutCountingServer() override { this->server_close(); }
    int timeouts = 0;

  protected:
    void handle_timeout() override { ++timeouts; }
};

/// Where a request has a thread, a process or a fiber, handle_request() does not wait for it.
template <template <class> class MixIn>
void serve_several_at_once() {
    const TimeLimit limit;
    const Counts before;
    {
        TimeoutCountingServer<MixIn> server{{"127.0.0.1", 0}, {.timeout = 20ms}};
        std::vector<Socket> clients;
        for (int i = 0; i < 3; ++i) {
            clients.push_back(connect(server.server_address()));
            server.handle_request();  // returns, although the client has said nothing
        }
        CHECK(server.timeouts == 0);
        CHECK(server.statistics().active == 3);
        for (const std::size_t i : {2U, 0U, 1U, 2U}) {
            CHECK(ask(clients[i], "between two calls\n") == "between two calls\n");
        }
        clients[0].sendall("while one waits\n");
        server.handle_request();  // for a client that does not come
        CHECK(server.timeouts == 1);
        CHECK(clients[0].recv(100) == "while one waits\n");
        clients.clear();
        CHECK(eventually([&] {
            server.handle_request();  // looks after children
            return server.statistics().active == 0;
        }));
        CHECK(server.statistics().served() == 3);
        // The last one is served after the last call.
        clients.push_back(connect(server.server_address()));
        server.handle_request();
        clients.back().sendall("last\n");
        clients.back().shutdown(ShutdownHow::write);
        server.server_close();
        CHECK(read_to_end(clients.back()) == "last\n");
    }
    CHECK(before.are_back());
}

/// What programs written for Python set most: another policy must not break their compilation, and
/// nothing that was served is lost by it.
template <template <class> class MixIn>
void serve_with_daemon_threads() {
    const TimeLimit limit;
    const std::size_t threads = thread_count();
    TCPServer<StreamEcho, MixIn> server{any_port};
    server.daemon_threads = true;
    server.block_on_close = false;
    ServingThread serving{server, 10ms};
    Socket client = connect(server.server_address());
    CHECK(ask(client, "one\n") == "one\n");
    client.close();
    CHECK(eventually([&] { return server.statistics().served() == 1; }));
    serving.stop();
    CHECK_FALSE(serving.error());
    server.server_close();
    CHECK(eventually([&] { return thread_count() == threads; }));
}

}  // namespace

TEST_CASE("daemon_threads and block_on_close under every policy") {
    SECTION("synchronous") { serve_with_daemon_threads<SynchronousMixIn>(); }
    SECTION("threading") { serve_with_daemon_threads<ThreadingMixIn>(); }
    SECTION("forking") { serve_with_daemon_threads<ForkingMixIn>(); }
    SECTION("pool") { serve_with_daemon_threads<ThreadPoolMixIn>(); }
    SECTION("prefork") { serve_with_daemon_threads<PreforkMixIn>(); }
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("daemon_threads and block_on_close: fiber") { serve_with_daemon_threads<FiberMixIn>(); }
#endif

TEST_CASE("SynchronousMixIn over every transport") { every_transport<SynchronousMixIn>(); }
TEST_CASE("ThreadingMixIn over every transport") { every_transport<ThreadingMixIn>(); }
TEST_CASE("ForkingMixIn over every transport") { every_transport<ForkingMixIn>(); }
TEST_CASE("ThreadPoolMixIn over every transport") { every_transport<ThreadPoolMixIn>(); }
TEST_CASE("PreforkMixIn over every transport") { every_transport<PreforkMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("FiberMixIn over every transport") { every_transport<FiberMixIn>(); }
#endif

TEST_CASE("handle_request() in a loop") {
    SECTION("synchronous") { serve_one_by_one<SynchronousMixIn>(); }
    SECTION("threading") { serve_one_by_one<ThreadingMixIn>(); }
    SECTION("forking") { serve_one_by_one<ForkingMixIn>(); }
    SECTION("pool") { serve_one_by_one<ThreadPoolMixIn>(); }
    SECTION("prefork") { serve_one_by_one<PreforkMixIn>(); }
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("handle_request() in a loop: fiber") { serve_one_by_one<FiberMixIn>(); }
#endif

TEST_CASE("handle_request() in a loop serves several clients at once") {
    SECTION("threading") { serve_several_at_once<ThreadingMixIn>(); }
    SECTION("forking") { serve_several_at_once<ForkingMixIn>(); }
    SECTION("pool") { serve_several_at_once<ThreadPoolMixIn>(); }
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("handle_request() in a loop serves several clients at once: fiber") {
    serve_several_at_once<FiberMixIn>();
}
#endif

TEST_CASE("ForkingMixIn over every transport beside a child of somebody else") {
    const pid_t other = ::fork();
    if (other == 0) ::_exit(72);
    every_transport<ForkingMixIn>();
    int status = 0;
    REQUIRE(::waitpid(other, &status, 0) == other);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 72);
}
