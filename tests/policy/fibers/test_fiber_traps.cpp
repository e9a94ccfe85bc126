// SPDX-License-Identifier: MIT
// What goes wrong with fibers unless somebody sees to it.
#include <algorithm>
#include <atomic>
#include <future>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/fiber_serving.hpp"
#include "support/scripted_sys.hpp"
#include "support/transfers.hpp"

using namespace socketserver;
using namespace socketserver::tests;

TEST_CASE("each fiber has the exceptions that it handles for itself") {
    const TimeLimit limit;
    constexpr int count = 20;
    std::atomic<int> waiting{0};
    std::promise<void> all_wait;
    CallingServer server{[&](Calling& handler) {
        const std::string own{handler.rfile().readline()};
        std::string seen;
        try {
            try {
                throw std::runtime_error(own);
            } catch (const std::runtime_error&) {
                if (++waiting == count) all_wait.set_value();
                handler.rfile().readline();  // others throw and catch meanwhile
                throw;
            }
        } catch (const std::exception& error) {
            seen = error.what();
        }
        if (std::current_exception() == nullptr && std::uncaught_exceptions() == 0) {
            handler.wfile().write(seen);
        }
    }};
    ServingThread serving{server};
    std::vector<Socket> clients;
    for (int i = 0; i < count; ++i) {
        clients.push_back(connect(server.server_address()));
        clients.back().sendall("error " + std::to_string(i) + "\n");
    }
    all_wait.get_future().wait();
    // In another order than they were thrown.
    for (int i = 0; i < count; ++i) {
        const int chosen = i * 7 % count;
        Socket& client = clients[static_cast<std::size_t>(chosen)];
        client.sendall("go on\n");
        CHECK(read_to_end(client) == "error " + std::to_string(chosen) + "\n");
    }
}

TEST_CASE("a fiber that never has to wait starves neither its neighbours nor accepting") {
    const TimeLimit limit;
    std::atomic<bool> stop{false};
    CallingServer server{[&](Calling& handler) {
        const std::string kind{handler.rfile().readline()};
        handler.wfile().write("begun\n");
        if (kind == "stop\n") {
            stop = true;
        } else if (kind == "receive and send\n") {
            auto [one, other] = unix_pair();
            while (!stop) {
                one.sendall("x");
                other.recv(1);
            }
        } else if (kind == "read buffered\n") {
            auto [one, other] = unix_pair();
            BufferedReader reader{other};
            while (!stop) {
                one.send("line\n");
                reader.readline();
            }
        } else if (kind == "datagrams\n") {
            const Address here{"127.0.0.1", 0};
            Socket one{here, SocketType::datagram};
            one.bind(here);
            const Address address = one.getsockname();
            while (!stop) {
                one.sendto("x", address);
                one.recvfrom(1);
            }
        } else if (kind == "connect and accept\n") {
            const Address address{"@" + own_name("starving")};
            Socket listening = listening_on(address);
            while (!stop) {
                const Socket client = create_connection(address);
                listening.accept();
            }
        } else {
            while (!stop) yield();
        }
    }};
    ServingThread serving{server};
    Socket greedy = connect(server.server_address());
    const std::string kind = GENERATE("receive and send\n", "read buffered\n", "datagrams\n",
                                      "connect and accept\n", "yield\n");
    greedy.sendall(kind);
    CHECK(greedy.recv(64) == "begun\n");
    // Accepted and served although the other is always ready.
    CHECK(ask(server.server_address(), "stop\n") == "begun\n");
    CHECK(read_to_end(greedy).empty());
}

TEST_CASE("what is large is sent in pieces, between which the neighbours run") {
    const TimeLimit limit;
    constexpr std::size_t size = std::size_t{64} << 20;
    constexpr std::size_t largest_piece = std::size_t{256} * 1024;
    // A peer that receives all at once, and so never makes the sender wait.
    std::size_t largest = 0;
    const Scripted<&Calls::sendfile> sendfile{
        [&](int, int, off_t* position, std::size_t count) -> ssize_t {
            largest = std::max(largest, count);
            *position += static_cast<off_t>(count);
            return static_cast<ssize_t>(count);
        }};
    const Scripted<&Calls::send> send{
        [&](int fd, const void* data, std::size_t count, int flags) -> ssize_t {
            if (count < 1000) return sys::kernel.send(fd, data, count, flags);
            largest = std::max(largest, count);
            return static_cast<ssize_t>(count);
        }};
    const bool is_file = GENERATE(false, true);
    int turns = 0;
    in_fiber([&] {
        auto [near, far] = tcp_pair();
        bool stop = false;
        Fiber neighbour = spawn([&] {
            while (!stop) {
                ++turns;
                yield();
            }
        });
        yield();
        turns = 0;
        if (is_file) {
            const File file{"its content is not read"};
            near.sendfile(file.descriptor(), 0, size);
        } else {
            near.sendall(std::string(size, 'x'));
        }
        stop = true;
        neighbour.join();
    });
    CHECK(largest <= largest_piece);
    CHECK(turns >= static_cast<int>(size / largest_piece / 64));
}

TEST_CASE("a large file is ended by a stop, however fast its client reads") {
    const TimeLimit limit;
    const Scripted<&Calls::sendfile> sendfile{
        [&](int, int, off_t* position, std::size_t count) -> ssize_t {
            // One byte each time, because a size of 32 bits has few pieces.
            const auto taken = static_cast<ssize_t>(std::min<std::size_t>(count, 1));
            *position += taken;
            return taken;
        }};
    std::promise<void> begun;
    CallingServer server{[&](Calling& handler) {
        const File file{"its content is not read"};
        begun.set_value();
        handler.request().sendfile(file.descriptor(), 0,
                                   std::numeric_limits<std::size_t>::max() / 4);
    }};
    ServingThread serving{server};
    const Socket client = connect(server.server_address());
    begun.get_future().wait();
    serving.stop();
    CHECK(server.errors() == std::vector<std::string>{"cancelled"});
}

TEST_CASE("a large file is ended by the time of the request, however fast its client reads") {
    const TimeLimit limit;
    const Scripted<&Calls::sendfile> sendfile{
        [&](int, int, off_t* position, std::size_t count) -> ssize_t {
            // One byte each time, because a size of 32 bits has few pieces.
            const auto taken = static_cast<ssize_t>(std::min<std::size_t>(count, 1));
            *position += taken;
            return taken;
        }};
    std::promise<bool> exceeded;
    const auto send = [&](Calling& handler) {
        const File file{"its content is not read"};
        try {
            handler.request().sendfile(file.descriptor(), 0,
                                       std::numeric_limits<std::size_t>::max() / 4);
        } catch (const DeadlineExceeded&) {
            exceeded.set_value(true);
            return;
        }
        exceeded.set_value(false);
    };
    FiberTCPServer<Calling> server{
        any_port, {.request_timeout = 20ms}, [&] { return Calling{send}; }};
    server.workers = 1;
    ServingThread serving{server};
    const Socket client = connect(server.server_address());
    CHECK(exceeded.get_future().get());
}

TEST_CASE("a close that lingers holds up nobody") {
    const TimeLimit limit;
    constexpr linger for_long{.l_onoff = 1, .l_linger = 1000};
    CallingServer server{[&](Calling& handler) {
        if (handler.rfile().readline() == "linger\n") {
            ::setsockopt(handler.request().fileno(), SOL_SOCKET, SO_LINGER, &for_long,
                         sizeof for_long);
            fill(handler.request());  // the client does not read it
            handler.request().close();
        } else {
            handler.wfile().write("done\n");
        }
    }};
    {
        ServingThread serving{server};
        Socket lingering = connect(server.server_address());
        lingering.sendall("linger\n");
        char first = 0;
        REQUIRE(::recv(lingering.fileno(), &first, 1, MSG_PEEK) == 1);
        Socket other = connect(server.server_address());
        CHECK(ask(other, "no\n") == "done\n");
        // What was sent still arrives.
        CHECK(read_to_end(lingering).size() > 4096);
    }
}

TEST_CASE("a stream of new connections does not starve the one that is served") {
    const TimeLimit limit;
    FiberTCPServer<Calling> server{{"127.0.0.1", 0}, {}, [] {
                                       return Calling{[](Calling& handler) {
                                           for (std::string_view line : handler.rfile())
                                               handler.wfile().write(line);
                                       }};
                                   }};
    server.workers = 1;
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    std::atomic<bool> stop{false};
    std::thread others{[&] {
        while (!stop) connect(server.server_address());
    }};
    int answered = 0;
    for (; answered < 200 && ask(client, "line\n") == "line\n"; ++answered) {
    }
    stop = true;
    others.join();
    CHECK(answered == 200);
}

TEST_CASE("what comes behind a short read is seen") {
    const TimeLimit limit;
    std::string received;
    bool ended = false;
    CallingServer server{[&](Calling& handler) {
        handler.wfile().write("first\n");
        received += handler.rfile().readline();  // waits: registered from here on
        handler.wfile().write("second\n");
        received += handler.rfile().readline();
        ended = handler.rfile().readline().empty();
    }};
    {
        ServingThread serving{server};
        Socket client = connect(server.server_address());
        CHECK(client.recv(64) == "first\n");
        CHECK(ask(client, "one\n").size() >= 4);
        // The end of the stream in the same moment as the data.
        client.sendall("two\n");
        client.shutdown(ShutdownHow::write);
        read_to_end(client);
    }
    CHECK(received == "one\ntwo\n");
    CHECK(ended);
}

TEST_CASE("more than the socket's buffers hold goes both ways") {
    const TimeLimit limit;
    constexpr std::size_t size = std::size_t{8} << 20;
    std::size_t received = 0;
    CallingServer server{[&](Calling& handler) {
        handler.wfile().write(std::string(size, 'x'));
        received = handler.rfile().read(size).size();
    }};
    {
        ServingThread serving{server};
        Socket client = connect(server.server_address());
        std::size_t got = 0;
        while (got < size) got += client.recv(1 << 20).size();
        client.sendall(std::string(size, 'y'));
        read_to_end(client);
    }
    CHECK(received == size);
}

namespace {

/// Ends the handler that blocks when it has been reported.
class Watched : public FiberTCPServer<Calling> {
  public:
    explicit Watched(const std::function<void(Calling&)>& function)
        : FiberTCPServer<Calling>{{"127.0.0.1", 0}, {}, [function] { return Calling{function}; }} {
        workers = 1;
        report_blocking = 500ms;  // for so long a busy machine lets no thread wait
    }
    ~Watched() override { server_close(); }
    std::promise<std::pair<Address, std::chrono::nanoseconds>> reported;

  private:
    void handle_blocking(const Address& client_address, std::chrono::nanoseconds time) override {
        if (!std::exchange(done_, true)) reported.set_value({client_address, time});
    }
    bool done_ = false;
};

}  // namespace

TEST_CASE("a handler that blocks its worker is reported, with its client") {
    const TimeLimit limit;
    std::optional<Watched> server;
    std::pair<Address, std::chrono::nanoseconds> report;
    server.emplace([&](Calling& handler) {
        const std::string kind{handler.rfile().readline()};
        if (kind == "block\n") report = server->reported.get_future().get();
        handler.wfile().write("done\n");
    });
    ServingThread serving{*server};
    Socket waiting = connect(server->server_address());  // waits, which is not blocking
    Socket client = connect(server->server_address());
    client.sendall("block\n");
    CHECK(client.recv(64) == "done\n");
    CHECK(report.first == client.getsockname());
    CHECK(report.second >= 500ms);
}

TEST_CASE("run_blocking() suspends one fiber only") {
    const TimeLimit limit;
    std::promise<int> value;
    CallingServer server{[&](Calling& handler) {
        if (handler.rfile().readline() == "wait\n") {
            handler.wfile().write("begun\n");
            const int got = run_blocking([&] { return value.get_future().get(); });
            bool thrown = false;
            try {
                run_blocking([] { throw std::runtime_error("from the thread"); });
            } catch (const std::runtime_error&) {
                thrown = true;
            }
            handler.wfile().print("{} {}\n", got, thrown);
        } else {
            value.set_value(42);
        }
    }};
    ServingThread serving{server};
    Socket waiting = connect(server.server_address());
    waiting.sendall("wait\n");
    CHECK(waiting.recv(64) == "begun\n");
    Socket other = connect(server.server_address());
    other.sendall("set\n");
    CHECK(read_to_end(waiting) == "42 true\n");
}

TEST_CASE("more calls of run_blocking() than there are threads for take their turn") {
    const TimeLimit limit;
    std::atomic<int> ran{0};
    in_fiber([&] {
        std::vector<Fiber> fibers;
        for (int i = 0; i < 200; ++i)
            fibers.push_back(spawn([&] { run_blocking([&] { ++ran; }); }));
        for (Fiber& fiber : fibers) fiber.join();
    });
    CHECK(ran == 200);
}
