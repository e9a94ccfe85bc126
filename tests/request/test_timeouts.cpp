// SPDX-License-Identifier: MIT
// Times that a client has: for each operation, to begin a request, for a whole request.
#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include <poll.h>
#include <sys/socket.h>

#include "support/catch.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Clock = std::chrono::steady_clock;

enum Caught : int { nothing, idle, deadline, timeout_of_operation };

/// Echoes lines; the first byte of a line says how long the answer is.
class Handler : public StreamRequestHandler {
  public:
    explicit Handler(std::atomic<int>& caught) : caught_{caught} {}

  private:
    void handle() override try {
        for (std::string_view line : rfile()) {
            if (line == "big\n") {
                connection().sendall(std::string(64 * 1024 * 1024, 'x'));
            } else if (line == "in my own time\n") {
                connection().set_deadline({});
                socketserver::detail::sleep_until(Clock::now() + 400ms);
                wfile().write(line);
            } else if (line == "at once\n") {
                connection().set_deadline(Clock::now() - 1ms);
                wfile().write(line);
            } else if (line == "per operation\n") {
                connection().settimeout(10ms);
            } else {
                wfile().write(line);
            }
        }
    } catch (const IdleTimeout&) {
        caught_ = idle;
        wfile().write("goodbye\n");
        throw;
    } catch (const DeadlineExceeded&) {
        caught_ = deadline;
        throw;
    } catch (const TimeoutError&) {
        caught_ = timeout_of_operation;
        throw;
    }
    std::atomic<int>& caught_;
};

template <template <class> class MixIn>
struct TimedServer {
    explicit TimedServer(const ServerOptions& options)
        : server{any_port, options, [this] { return Handler{*caught}; }}, serving{server} {}

    Shared<std::atomic<int>> caught;
    class Quiet : public TCPServer<Handler, MixIn> {
      public:
        using TCPServer<Handler, MixIn>::TCPServer;
        ~Quiet() override { this->server_close(); }

      private:
        void handle_error(Socket&, const Address&, std::exception_ptr) override {}
    } server;
    ServingThread serving;
};

template <template <class> class MixIn>
void check_idle() {
    const TimeLimit limit;
    TimedServer<MixIn> timed{{.idle_timeout = 300ms, .request_timeout = 20s}};
    Socket client = connect(timed.server.server_address());
    CHECK(ask(client, "hello\n") == "hello\n");
    CHECK(read_to_end(client) == "goodbye\n");
    CHECK(eventually([&] { return timed.server.statistics().active == 0; }));
    CHECK(*timed.caught == idle);
    CHECK(timed.server.statistics().closed(CloseReason::timed_out) == 1);
    Socket silent = connect(timed.server.server_address());
    CHECK(read_to_end(silent) == "goodbye\n");
}

template <template <class> class MixIn>
void check_slow_sender() {
    const TimeLimit limit;
    TimedServer<MixIn> timed{{.request_timeout = 200ms}};
    Socket client = connect(timed.server.server_address());
    CHECK(ask(client, "hello\n") == "hello\n");
    const auto begin = Clock::now();
    try {
        // Each byte comes soon enough for any timeout of an operation.
        for (; Clock::now() - begin < patience; std::this_thread::sleep_for(5ms)) {
            client.sendall("x");
        }
    } catch (const std::system_error&) {  // the server has closed
    }
    CHECK(Clock::now() - begin >= 190ms);
    CHECK(Clock::now() - begin < 10s);
    CHECK(*timed.caught == deadline);
    CHECK(
        eventually([&] { return timed.server.statistics().closed(CloseReason::timed_out) == 1; }));
}

template <template <class> class MixIn>
void check_slow_reader() {
    const TimeLimit limit;
    TimedServer<MixIn> timed{{.request_timeout = 200ms}};
    Socket client = connect(timed.server.server_address());
    client.sendall("big\n");
    CHECK(
        eventually([&] { return timed.server.statistics().closed(CloseReason::timed_out) == 1; }));
    CHECK(*timed.caught == deadline);
}

template <template <class> class MixIn>
void check_own_deadline() {
    const TimeLimit limit;
    TimedServer<MixIn> timed{{.request_timeout = 200ms}};
    Socket client = connect(timed.server.server_address());
    CHECK(ask(client, "in my own time\n") == "in my own time\n");
    CHECK(ask(client, "hello\n") == "hello\n");
    client.sendall("never ends");  // this request has the server's time again
    CHECK(read_to_end(client) == "");
    CHECK(eventually([&] { return timed.server.statistics().active == 0; }));
    CHECK(*timed.caught == deadline);

    *timed.caught = nothing;
    Socket late = connect(timed.server.server_address());
    late.sendall("at once\n");
    CHECK(read_to_end(late) == "");
    CHECK(eventually([&] { return timed.server.statistics().active == 0; }));
    CHECK(*timed.caught == deadline);
}

}  // namespace

TEST_CASE("a handler sets a deadline of its own, for one request"){
    SECTION("synchronous"){check_own_deadline<SynchronousMixIn>();
}
SECTION("threading") { check_own_deadline<ThreadingMixIn>(); }
SECTION("forking") { check_own_deadline<ForkingMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
SECTION("fiber") { check_own_deadline<FiberMixIn>(); }
#endif
}

TEST_CASE("a client that begins no request is told goodbye") {
    SECTION("synchronous") { check_idle<SynchronousMixIn>(); }
    SECTION("threading") { check_idle<ThreadingMixIn>(); }
    SECTION("forking") { check_idle<ForkingMixIn>(); }
    SECTION("pool") { check_idle<ThreadPoolMixIn>(); }
    SECTION("prefork") { check_idle<PreforkMixIn>(); }
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("a client that begins no request is told goodbye: fiber") { check_idle<FiberMixIn>(); }
#endif

TEST_CASE("a client that sends a byte now and then does not hold a handler") {
    SECTION("synchronous") { check_slow_sender<SynchronousMixIn>(); }
    SECTION("threading") { check_slow_sender<ThreadingMixIn>(); }
    SECTION("forking") { check_slow_sender<ForkingMixIn>(); }
    SECTION("pool") { check_slow_sender<ThreadPoolMixIn>(); }
    SECTION("prefork") { check_slow_sender<PreforkMixIn>(); }
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("a client that sends a byte now and then: fiber") { check_slow_sender<FiberMixIn>(); }
#endif

TEST_CASE("a client that reads too slowly does not hold a handler") {
    SECTION("synchronous") { check_slow_reader<SynchronousMixIn>(); }
    SECTION("threading") { check_slow_reader<ThreadingMixIn>(); }
    SECTION("forking") { check_slow_reader<ForkingMixIn>(); }
    SECTION("pool") { check_slow_reader<ThreadPoolMixIn>(); }
    SECTION("prefork") { check_slow_reader<PreforkMixIn>(); }
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("a client that reads too slowly: fiber") { check_slow_reader<FiberMixIn>(); }
#endif

TEST_CASE("each request has a time of its own") {
    const TimeLimit limit;
    TimedServer<ThreadingMixIn> timed{{.idle_timeout = 20s, .request_timeout = 300ms}};
    Socket client = connect(timed.server.server_address());
    const auto begin = Clock::now();
    while (Clock::now() - begin < 600ms) {
        CHECK(ask(client, "hello\n") == "hello\n");
        std::this_thread::sleep_for(20ms);  // the client thinks
    }
    CHECK(*timed.caught == nothing);
}

namespace {

/// Takes 10 bytes of a request each millisecond, or sends as many: its client never keeps it
/// waiting.
class SlowHandler : public StreamRequestHandler {
  public:
    explicit SlowHandler(std::atomic<bool>& exceeded) : exceeded_{exceeded} { wbufsize = 100; }

  private:
    void handle() override try {
        const std::string first = rfile().read(10);
        for (int i = 0; i < 10'000; ++i) {
            if (first == "send to me") {
                connection().sendall(first);
            } else if (connection().recv(10).empty()) {
                return;
            }
            std::this_thread::sleep_for(1ms);
        }
    } catch (const DeadlineExceeded&) {
        exceeded_ = true;
        wfile().write("too late to be sent");
        throw;
    }
    std::atomic<bool>& exceeded_;
};

template <template <class> class MixIn>
void check_fast_client(const std::string& request) {
    const TimeLimit limit;
    Shared<std::atomic<bool>> exceeded;
    class Server : public TCPServer<SlowHandler, MixIn> {
      public:
        using TCPServer<SlowHandler, MixIn>::TCPServer;
        ~Server() override { this->server_close(); }

      private:
        void handle_error(Socket&, const Address&, std::exception_ptr) override {}
    } server{any_port, {.request_timeout = 200ms}, [&] { return SlowHandler{*exceeded}; }};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    const auto begin = Clock::now();
    client.sendall(request);
    client.shutdown(ShutdownHow::write);
    read_to_end(client);
    CHECK(Clock::now() - begin >= 190ms);
    CHECK(Clock::now() - begin < 5s);
    CHECK(*exceeded);
    CHECK(eventually([&] { return server.statistics().closed(CloseReason::timed_out) == 1; }));
}

template <template <class> class MixIn>
void check_fast_clients() {
    check_fast_client<MixIn>(std::string(100'000, 'x'));
    check_fast_client<MixIn>("send to me");
}

}  // namespace

TEST_CASE("a client that never keeps its handler waiting has no more time than others") {
    SECTION("synchronous") { check_fast_clients<SynchronousMixIn>(); }
    SECTION("threading") { check_fast_clients<ThreadingMixIn>(); }
    SECTION("forking") { check_fast_clients<ForkingMixIn>(); }
    SECTION("pool") { check_fast_clients<ThreadPoolMixIn>(); }
    SECTION("prefork") { check_fast_clients<PreforkMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fiber") { check_fast_clients<FiberMixIn>(); }
#endif
}

namespace {

/// Looks for each request only when it has come, and remembers until when it had to be done.
class LateHandler : public StreamRequestHandler {
  public:
    using Deadlines = std::array<Clock::time_point, 2>;
    explicit LateHandler(Deadlines& deadlines) : deadlines_{deadlines} {}

  private:
    void handle() override {
        for (Clock::time_point& deadline : deadlines_) {
            pollfd client{connection().fileno(), POLLIN, 0};
            if (::poll(&client, 1, 20'000) != 1) return;
            const std::string_view line = rfile().readline();
            deadline = connection().channel().deadline.load();
            wfile().write(line);
        }
    }
    Deadlines& deadlines_;
};

template <template <class> class MixIn>
void check_late_look() {
    const TimeLimit limit;
    LateHandler::Deadlines deadlines;
    TCPServer<LateHandler, MixIn> server{
        any_port, {.request_timeout = 20s}, [&] { return LateHandler{deadlines}; }};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(ask(client, "first\n") == "first\n");
    CHECK(ask(client, "second\n") == "second\n");
    CHECK(read_to_end(client).empty());
    serving.stop();
    server.server_close();
    CHECK(deadlines[1] > deadlines[0]);
}

}  // namespace

TEST_CASE("the time of a request begins anew if its first byte is there before it is looked for") {
    SECTION("synchronous") { check_late_look<SynchronousMixIn>(); }
    SECTION("threading") { check_late_look<ThreadingMixIn>(); }
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("the time of a request begins anew: fiber") { check_late_look<FiberMixIn>(); }
#endif

TEST_CASE("the timeout of an operation is told from the other two") {
    const TimeLimit limit;
    TimedServer<ThreadingMixIn> timed{{.idle_timeout = 20s, .request_timeout = 20s}};
    Socket client = connect(timed.server.server_address());
    client.sendall("per operation\n");
    CHECK(read_to_end(client).empty());
    CHECK(*timed.caught == timeout_of_operation);
}

TEST_CASE("one thread may receive while another sends, with all timeouts set") {
    const TimeLimit limit;
    static constexpr int lines = 300;
    class Handler : public StreamRequestHandler {
        void handle() override {
            request().settimeout(patience);
            std::thread sender{[this] {
                for (int i = 0; i < lines; ++i) request().sendall("out\n");
            }};
            for (int i = 0; i < lines; ++i) rfile().readline();
            sender.join();
        }
    };
    TCPServer<Handler, ThreadingMixIn> server{
        {"127.0.0.1", 0}, {.idle_timeout = patience, .request_timeout = patience}};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    for (int i = 0; i < lines; ++i) client.sendall("in\n");
    CHECK(read_to_end(client).size() == std::size_t{4} * lines);
    CHECK(eventually([&] { return server.statistics().active == 0; }));
    CHECK(server.statistics().bytes_in == std::uint64_t{3} * lines);
    CHECK(server.statistics().bytes_out == std::uint64_t{4} * lines);
}
