// SPDX-License-Identifier: MIT
// FiberMixIn as a policy: the same handlers, every transport, one worker and several.
#include <atomic>
#include <cerrno>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "socketserver/fiber.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/fiber_serving.hpp"
#include "support/forked_program.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

template <class Server>
void serve_three_clients(const Address& address, SocketType type, unsigned workers) {
    Server server{address};
    server.workers = workers;
    ServingThread serving{server, 10ms};
    std::vector<Socket> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(connect(server.server_address(), type));
    for (Socket& client : clients) {
        CHECK(ask(client, "hello world\n") == "hello world\n");
    }
    serving.stop();
    CHECK_FALSE(serving.error());
}

}  // namespace

TEST_CASE("without an epoll set serving is an error, and leaves nothing behind") {
    const TimeLimit limit;
    FiberTCPServer<StreamEcho> server{any_port};
    const Counts before;
    {
        const Scripted<&Calls::epoll_ctl> epoll_ctl{[](auto...) { return fail(ENOSPC); }};
        CHECK_THROWS_WITH(server.serve_forever(),
                          Catch::Matchers::ContainsSubstring("create an epoll set"));
    }
    CHECK(before.are_back());
    ServingThread serving{server};
    CHECK(ask(server.server_address(), "again\n") == "again\n");
}

TEST_CASE("FiberMixIn over every transport") {
    const TimeLimit limit;
    const Counts before;
    const unsigned workers = GENERATE(1U, 3U);
    SECTION("TCP") {
        serve_three_clients<FiberTCPServer<StreamEcho>>({"127.0.0.1", 0}, SocketType::stream,
                                                        workers);
    }
    SECTION("UDP") {
        serve_three_clients<FiberUDPServer<DatagramEcho>>({"127.0.0.1", 0}, SocketType::datagram,
                                                          workers);
    }
    SECTION("Unix stream") {
        serve_three_clients<FiberUnixStreamServer<StreamEcho>>("@" + own_name("s"),
                                                               SocketType::stream, workers);
    }
    SECTION("Unix datagram") {
        serve_three_clients<FiberUnixDatagramServer<DatagramEcho>>("@" + own_name("d"),
                                                                   SocketType::datagram, workers);
    }
    CHECK(before.are_back());
}

TEST_CASE("a request goes on when handle_request() has returned, and server_close() waits for it") {
    const TimeLimit limit;
    const unsigned workers = GENERATE(1U, 3U);
    const Counts before;
    {
        FiberTCPServer<StreamEcho> server{{"127.0.0.1", 0}};
        server.workers = workers;
        std::vector<Socket> clients;
        for (int i = 0; i < 5; ++i) {
            clients.push_back(connect(server.server_address()));
            server.handle_request();
        }
        // Nothing but our line ends a request.
        CHECK(eventually([&] { return server.statistics().fibers == 5; }));
        CHECK(ask(clients[4], "first\n") == "first\n");
        ClosingThread closing{server};
        for (std::size_t i = 0; i < 4; ++i) {
            CHECK_FALSE(closing.closed());
            CHECK(ask(clients[i], "late\n") == "late\n");
        }
        closing.join();
        CHECK(server.statistics().fibers == 0);
    }
    CHECK(before.are_back());
}

TEST_CASE("shutdown() ends what handle_request() has handed over") {
    const TimeLimit limit;
    std::atomic<int> begun{0};
    const auto calls = [&](Calling& handler) {
        ++begun;
        handler.rfile().readline();
    };
    CallingServer server{calls};
    Socket client = connect(server.server_address());
    server.handle_request();
    CHECK(eventually([&] { return begun == 1; }));
    const std::vector<std::string> once{"cancelled"};
    SECTION("in the call that waits for the next client") {
        std::thread serving{[&] { server.handle_request(); }};
        server.shutdown();
        serving.join();
        CHECK(eventually([&] { return server.errors() == once; }));
    }
    SECTION("in the next call") {
        server.shutdown();
        server.handle_request();
        CHECK(eventually([&] { return server.errors() == once; }));
        // Whoever comes later is served as ever.
        Socket next = connect(server.server_address());
        server.handle_request();
        CHECK(eventually([&] { return begun == 2; }));
        next.close();
        server.server_close();
        CHECK(server.errors() == once);
    }
    SECTION("by the end of serve_forever()") {
        ServingThread serving{server};
        Socket next = connect(server.server_address());
        CHECK(eventually([&] { return begun == 2; }));
        serving.stop();
        CHECK(eventually([&] { return server.errors().size() == 2; }));
    }
    CHECK(read_to_end(client).empty());
}

TEST_CASE("server_close() ends what handle_request() has handed over, if it is not to wait") {
    const TimeLimit limit;
    std::promise<void> begun;
    CallingServer server{[&](Calling& handler) {
        begun.set_value();
        handler.rfile().readline();
    }};
    const bool daemons = GENERATE(false, true);
    (daemons ? server.daemon_threads : server.block_on_close) = daemons;
    Socket client = connect(server.server_address());
    server.handle_request();
    begun.get_future().wait();
    server.server_close();
    CHECK(server.errors() == std::vector<std::string>{"cancelled"});
}

TEST_CASE("a drain ends what handle_request() has handed over") {
    const TimeLimit limit;
    FiberTCPServer<EchoLines> server{{"127.0.0.1", 0}};
    Socket idle = connect(server.server_address());
    server.handle_request();
    CHECK(ask(idle, "hello\n") == "hello\n");
    Socket busy = connect(server.server_address());
    server.handle_request();
    busy.sendall("1\nhalf");
    CHECK(busy.recv(100) == "1\n");
    const DrainReport report = server.drain(50ms);
    CHECK(report.cancelled == 1);
    CHECK(report.idle_closed + report.finished == 1);
    CHECK(report.remaining == 0);
}

TEST_CASE("a handler that handle_request() has handed over may stop its server") {
    const TimeLimit limit;
    std::atomic<bool> stopped{false};
    CallingServer server{[&](Calling& handler) {
        handler.rfile().readline();
        handler.server().shutdown();
        stopped = true;
    }};
    Socket client = connect(server.server_address());
    server.handle_request();
    client.sendall("stop\n");
    server.handle_request();  // waits for nobody else
    CHECK(eventually([&] { return stopped.load(); }));
}

TEST_CASE("handle_request() from several threads") {
    const TimeLimit limit;
    FiberTCPServer<StreamEcho> server{{"127.0.0.1", 0}, {.timeout = 0ms}};
    server.workers = 2;
    constexpr int count = 40;
    std::vector<Socket> clients;
    for (int i = 0; i < count; ++i) clients.push_back(connect(server.server_address()));
    {
        std::vector<std::jthread> serving;
        for (int i = 0; i < 4; ++i) {
            serving.emplace_back([&] {
                while (server.statistics().accepted < count) server.handle_request();
            });
        }
    }
    for (Socket& client : clients) CHECK(ask(client, "one of many\n") == "one of many\n");
}

TEST_CASE("without a thread for fibers handle_request() accepts nobody") {
    const TimeLimit limit;
    FiberTCPServer<StreamEcho> server{{"127.0.0.1", 0}};
    Socket client = connect(server.server_address());
    const Counts before;
    {
        const Scripted<&Calls::epoll_ctl> epoll_ctl{[](auto...) { return fail(ENOSPC); }};
        CHECK_THROWS_AS(server.handle_request(), std::system_error);
    }
    CHECK(before.are_back());
    CHECK(server.statistics().accepted == 0);
    server.handle_request();
    CHECK(ask(client, "again\n") == "again\n");
}

TEST_CASE("a forked child begins its own fibers") {
    if (!may_fork_beside_allocating_threads || under_tsan) return;
    const TimeLimit limit;
    FiberTCPServer<StreamEcho> server{{"127.0.0.1", 0}};
    Socket ours = connect(server.server_address());
    server.handle_request();
    Socket childs = connect(server.server_address());
    CHECK(run_in_child([&] {
              server.handle_request();
              childs.sendall("in the child\n");
              const bool served = read_to_end(childs) == "in the child\n";
              server.server_close();
              return served ? 7 : 1;
          }) == 7);
    CHECK(ask(ours, "in the parent\n") == "in the parent\n");
}

TEST_CASE("serving may begin again after shutdown()") {
    const TimeLimit limit;
    FiberTCPServer<StreamEcho> server{{"127.0.0.1", 0}};
    for (int i = 0; i < 3; ++i) {
        ServingThread serving{server};
        CHECK(ask(server.server_address(), "again\n") == "again\n");
    }
}

TEST_CASE("fibers are counted") {
    const TimeLimit limit;
    const unsigned workers = GENERATE(1U, 2U);
    CallingServer server{[](Calling& handler) {
                             Queue<std::string> lines;
                             Fiber sibling = spawn([&] {
                                 while (const auto line = lines.pop()) handler.wfile().write(*line);
                             });
                             for (std::string_view line : handler.rfile()) {
                                 lines.push(std::string{line});
                             }
                             lines.close();
                         },
                         workers};
    ServingThread serving{server};
    {
        Socket first = connect(server.server_address());
        CHECK(ask(first, "a\n") == "a\n");
        CHECK(server.statistics().fibers == 2);
        Socket second = connect(server.server_address());
        CHECK(ask(second, "b\n") == "b\n");
        CHECK(server.statistics().fibers == 4);
    }
    CHECK(eventually([&] { return server.statistics().fibers == 0; }));
}

TEST_CASE("a fiber's operations have timeouts") {
    const TimeLimit limit;
    CallingServer server{[](Calling& handler) {
        if (handler.rfile().readline() == "timeout\n") {
            handler.request().settimeout(20ms);
        } else {
            handler.request().channel().deadline = detail::Clock::now() + 20ms;
        }
        handler.rfile().readline();
    }};
    ServingThread serving{server};
    Socket one = connect(server.server_address());
    one.sendall("timeout\n");
    CHECK(read_to_end(one).empty());
    Socket other = connect(server.server_address());
    other.sendall("deadline\n");
    CHECK(read_to_end(other).empty());
    serving.stop();
    CHECK(server.errors() == std::vector<std::string>{"timeout", "timeout"});
}

TEST_CASE("a timeout begins anew with each operation") {
    const TimeLimit limit;
    CallingServer server{[](Calling& handler) {
        handler.request().settimeout(patience);
        for (int i = 0; i < 3; ++i) handler.wfile().write(handler.rfile().readline());
        handler.request().settimeout(10ms);  // earlier than what the timer knows
        handler.rfile().readline();
    }};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    for (int i = 0; i < 3; ++i) CHECK(ask(client, "line\n") == "line\n");
    CHECK(read_to_end(client).empty());
    serving.stop();
    CHECK(server.errors() == std::vector<std::string>{"timeout"});
}

TEST_CASE("sleeping fibers wake in the order of their times") {
    const TimeLimit limit;
    std::vector<int> order;
    CallingServer server{[&](Calling& handler) {
        handler.rfile().readline();
        std::vector<Fiber> sleepers;
        const auto start = detail::Clock::now();
        for (const int time : {40, 10, 30, 20}) {
            sleepers.push_back(spawn([&order, start, time] {
                // sleep_for() would begin when this fiber does, which may be much later.
                detail::sleep_until(start + std::chrono::milliseconds{time});
                order.push_back(time);
            }));
        }
        for (Fiber& sleeper : sleepers) sleeper.join();
        handler.wfile().write("done\n");
    }};
    {
        ServingThread serving{server};
        CHECK(ask(server.server_address(), "go on\n") == "done\n");
    }
    CHECK(order == std::vector<int>{10, 20, 30, 40});
}

TEST_CASE("a handler may be a client of another server") {
    const TimeLimit limit;
    FiberTCPServer<StreamEcho> behind{{"127.0.0.1", 0}};
    ServingThread serving_behind{behind};
    CallingServer proxy{[&](Calling& handler) {
        Socket upstream = create_connection(behind.server_address());
        handler.wfile().write(ask(upstream, handler.rfile().readline()));
    }};
    ServingThread serving{proxy};
    CHECK(ask(proxy.server_address(), "through\n") == "through\n");
    // Also when the other server runs in the very same worker.
    CallingServer nested{[](Calling& handler) {
        FiberTCPServer<StreamEcho> inner{{"127.0.0.1", 0}};
        Fiber serves = spawn([&] { inner.handle_request(); });
        Socket upstream = create_connection(inner.server_address());
        handler.wfile().write(ask(upstream, handler.rfile().readline()));
    }};
    ServingThread serving_nested{nested};
    CHECK(ask(nested.server_address(), "nested\n") == "nested\n");
}

TEST_CASE("shutdown() ends every handler that waits") {
    const TimeLimit limit;
    constexpr int count = 50;
    const unsigned workers = GENERATE(1U, 3U);
    std::atomic<int> begun{0};
    std::atomic<int> unwound{0};
    std::atomic<int> refused{0};
    std::promise<void> all_wait;
    CallingServer server{
        [&](Calling& handler) {
            const std::shared_ptr<void> guard{nullptr, [&](void*) { ++unwound; }};
            if (++begun == count) all_wait.set_value();
            try {
                handler.rfile().readline();
            } catch (const Cancelled&) {
                try {
                    handler.request().sendall("what begins afterwards is refused as well\n");
                } catch (const Cancelled&) {
                    ++refused;
                }
                throw;
            }
        },
        workers};
    ServingThread serving{server};
    std::vector<Socket> clients;
    for (int i = 0; i < count; ++i) clients.push_back(connect(server.server_address()));
    all_wait.get_future().wait();
    serving.stop();
    CHECK(unwound == count);
    CHECK(refused == count);
    CHECK(server.errors() == std::vector<std::string>(count, "cancelled"));
    for (Socket& client : clients) CHECK(read_to_end(client).empty());
}

TEST_CASE("a handler may call shutdown()") {
    const TimeLimit limit;
    const unsigned workers = GENERATE(1U, 2U);
    std::atomic<int> returned{0};
    CallingServer server{[&](Calling& handler) {
                             if (handler.rfile().readline() != "stop\n") return;
                             handler.server().shutdown();
                             ++returned;
                         },
                         workers};
    ServingThread serving{server};
    // With two workers each has one of these.
    Socket one = connect(server.server_address());
    Socket other = connect(server.server_address());
    Socket& stopping = GENERATE(false, true) ? one : other;
    stopping.sendall("stop\n");
    serving.join();
    CHECK(returned == 1);
}

TEST_CASE("an exception ends its connection, not the server") {
    const TimeLimit limit;
    CallingServer server{[](Calling& handler) {
        if (handler.rfile().readline() == "fail\n") throw std::runtime_error("failed");
        handler.wfile().write("fine\n");
    }};
    ServingThread serving{server};
    Socket failing = connect(server.server_address());
    failing.sendall("fail\n");
    CHECK(read_to_end(failing).empty());
    CHECK(ask(server.server_address(), "work\n") == "fine\n");
    serving.stop();
    CHECK(server.errors() == std::vector<std::string>{"failed"});
}

TEST_CASE("connections are spread over the workers") {
    const TimeLimit limit;
    constexpr int count = 12;
    std::mutex mutex;
    std::map<std::thread::id, int> served;
    std::promise<void> all;
    int begun = 0;
    CallingServer server{[&](Calling& handler) {
                             {
                                 const std::lock_guard lock{mutex};
                                 ++served[std::this_thread::get_id()];
                                 if (++begun == count) all.set_value();
                             }
                             handler.rfile().readline();
                         },
                         3};
    ServingThread serving{server};
    std::vector<Socket> clients;
    for (int i = 0; i < count; ++i) clients.push_back(connect(server.server_address()));
    all.get_future().wait();
    serving.stop();
    CHECK(served.size() == 3);
    for (const auto& [thread, requests] : served) CHECK(requests == count / 3);
}

TEST_CASE("a socket may outlive the worker that it waited in") {
    const TimeLimit limit;
    std::vector<Socket> kept;
    {
        CallingServer server{[&](Calling& handler) {
            const std::string kind{handler.rfile().readline()};
            int pair[2] = {-1, -1};
            ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
            Socket ours{pair[0]};
            Socket theirs{pair[1]};
            Fiber answers = spawn([&] { theirs.sendall("registered"); });
            ours.recv(64);
            if (kind == "thread\n") {
                std::thread{[closing = std::move(ours)]() mutable { closing.close(); }}.join();
            } else {
                kept.push_back(std::move(ours));
            }
            handler.wfile().write("done\n");
        }};
        ServingThread serving{server};
        for (int i = 0; i < 3; ++i) {
            CHECK(ask(server.server_address(), "keep\n") == "done\n");
            CHECK(ask(server.server_address(), "thread\n") == "done\n");
        }
    }
    REQUIRE(kept.size() == 3);
    CHECK(kept[0].recv(1).empty());  // the other end was closed
    kept.clear();
}

TEST_CASE("what a forked child gives away its parent still hears") {
    const TimeLimit limit;
    CallingServer server{[](Calling& handler) {
        for (std::string_view line : handler.rfile()) {
            if (line == "fork\n") {
                const pid_t child = ::fork();
                if (child == 0) {
                    handler.request().detach();
                    ::_exit(0);
                }
                ::waitpid(child, nullptr, 0);
            }
            handler.wfile().write(line);
        }
    }};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    for (const std::string line : {"first\n", "fork\n", "second\n", "third\n"}) {
        CHECK(ask(client, line) == line);
    }
}

TEST_CASE("a descriptor that was given away can be waited for again") {
    const TimeLimit limit;
    CallingServer server{[](Calling& handler) {
        std::string lines = handler.request().recv(64);
        handler.wfile().write("more\n");
        lines += handler.request().recv(64);
        Socket again{handler.request().detach()};
        again.sendall("more\n");
        lines += again.recv(64);
        again.sendall(lines);
    }};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(ask(client, "one, ") == "more\n");
    CHECK(ask(client, "two, ") == "more\n");
    client.sendall("three");
    CHECK(read_to_end(client) == "one, two, three");
}

TEST_CASE("a receive that finds nothing where the stream has ended is tried again") {
    const TimeLimit limit;
    std::atomic<int> ends{0};
    const Scripted<&Calls::recv> recv{
        [&](int descriptor, void* data, std::size_t size, int flags) -> ssize_t {
            const ssize_t received = sys::kernel.recv(descriptor, data, size, flags);
            const bool is_of_server = (flags & MSG_DONTWAIT) != 0 && (flags & MSG_PEEK) == 0;
            return received == 0 && is_of_server && ++ends == 1 ? fail(EAGAIN) : received;
        }};
    CallingServer server{[](Calling& handler) {
        for (std::string_view line : handler.rfile()) handler.wfile().write(line);
    }};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(ask(client, "a line\n") == "a line\n");
    client.shutdown(ShutdownHow::write);
    CHECK(read_to_end(client).empty());
    serving.stop();
    CHECK(ends == 2);
}
