// SPDX-License-Identifier: MIT
// What the default handle_error() writes to stderr, and when it writes nothing.
#include <array>
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "server/error_report.hpp"
#include "support/captured_stderr.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

const std::string dashes(40, '-');

/// stderr is a pipe whose reader has gone, and SIGPIPE does what it does by default.
class BrokenStderr {
  public:
    BrokenStderr() : before_{::dup(STDERR_FILENO)}, sigpipe_{std::signal(SIGPIPE, SIG_DFL)} {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) == -1) throw std::runtime_error{"pipe"};
        ::close(ends[0]);
        ::dup2(ends[1], STDERR_FILENO);
        ::close(ends[1]);
    }
    BrokenStderr(const BrokenStderr&) = delete;
    BrokenStderr& operator=(const BrokenStderr&) = delete;
    ~BrokenStderr() {
        ::dup2(before_, STDERR_FILENO);
        ::close(before_);
        std::clearerr(stderr);
        std::signal(SIGPIPE, sigpipe_);
    }

  private:
    int before_;
    void (*sigpipe_)(int);
};

class ThrowingHandler : public StreamRequestHandler {
  public:
    using Action = std::function<void(ThrowingHandler&)>;
    explicit ThrowingHandler(const Action& action) : action_{action} {}
    using StreamRequestHandler::request;
    using StreamRequestHandler::rfile;
    using StreamRequestHandler::wbufsize;
    using StreamRequestHandler::wfile;

  private:
    void handle() override { action_(*this); }
    const Action& action_;
};

/// What a server prints for one client, which `client` plays.
template <template <class> class MixIn = SynchronousMixIn>
std::string printed_for(const ThrowingHandler::Action& action,
                        const std::function<void(Socket&)>& client, Address* client_address) {
    CapturedStderr captured;
    {
        TCPServer<ThrowingHandler, MixIn> server{
            any_port, {}, [&] { return ThrowingHandler{action}; }};
        Socket socket = connect(server.server_address());
        *client_address = socket.getsockname();
        ServingThread serving{server};
        client(socket);
        // The next client is accepted only after a synchronous server has done with the first.
        Socket next = connect(server.server_address());
        next.shutdown(ShutdownHow::write);
        read_to_end(next);
        serving.stop();
    }
    return captured.text();
}

/// The next client, which says nothing, does not fail.
ThrowingHandler::Action once(ThrowingHandler::Action action) {
    return [action](ThrowingHandler& handler) {
        if (!handler.rfile().readline().empty()) action(handler);
    };
}

void send_line(Socket& client) {
    client.sendall("line\n");
    read_to_end(client);
}

}  // namespace

TEST_CASE("handle_error() prints as Python does, with the type and the text") {
    const TimeLimit limit;
    const auto fail = once([](ThrowingHandler&) { throw std::out_of_range("seven is too many"); });
    Address who;
    const auto check = [&](const std::string& printed) {
        CHECK(printed == dashes + "\nException occurred during processing of request from " +
                             who.to_string() + "\nstd::out_of_range: seven is too many\n" + dashes +
                             "\n");
    };
    SECTION("synchronous") { check(printed_for(fail, send_line, &who)); }
    SECTION("threading") { check(printed_for<ThreadingMixIn>(fail, send_line, &who)); }
    SECTION("forking") { check(printed_for<ForkingMixIn>(fail, send_line, &who)); }
}

TEST_CASE("handle_error() prints nested exceptions, the outer one first") {
    const TimeLimit limit;
    Address who;
    const std::string printed =
        printed_for(once([](ThrowingHandler&) {
                        try {
                            throw std::logic_error("the cause");
                        } catch (...) {
                            std::throw_with_nested(std::runtime_error("the effect"));
                        }
                    }),
                    send_line, &who);
    const auto effect = printed.find("std::runtime_error");
    CHECK_THAT(printed, ContainsSubstring("the effect"));
    CHECK_THAT(printed, ContainsSubstring("caused by std::logic_error: the cause\n"));
    CHECK(effect < printed.find("std::logic_error"));
}

TEST_CASE("handle_error() prints what is no std::exception") {
    const TimeLimit limit;
    Address who;
    const std::string printed =
        printed_for(once([](ThrowingHandler&) { throw 7; }), send_line, &who);
    CHECK_THAT(printed, ContainsSubstring(who.to_string() + "\nint\n" + dashes));
}

TEST_CASE("handle_error() prints errors of finish() with those of handle()") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void handle() override {
            rfile().readline();
            throw std::runtime_error("of handle()");
        }
        void finish() override { throw std::runtime_error("of finish()"); }
    };
    CapturedStderr captured;
    {
        TCPServer<Handler> server{any_port};
        ServingThread serving{server};
        Socket client = connect(server.server_address());
        send_line(client);
    }
    const std::string printed = captured.text();
    CHECK_THAT(printed, ContainsSubstring("of finish()"));
    CHECK_THAT(printed, ContainsSubstring("caused by std::runtime_error: of handle()"));
}

TEST_CASE("a client that went away is no failure of the server") {
    const TimeLimit limit;
    Address who;
    std::string printed;
    SECTION("reset while the handler reads") {
        printed =
            printed_for([](ThrowingHandler& handler) { handler.rfile().read(); }, reset, &who);
    }
    SECTION("reset while the handler writes") {
        printed = printed_for(
            [](ThrowingHandler& handler) {
                // More than any buffer holds: the reset comes while it is being sent.
                if (!handler.rfile().readline().empty()) {
                    handler.wfile().write(std::string(64'000'000, 'x'));
                }
            },
            [](Socket& client) {
                client.sendall("line\n");
                client.recv(1);
                reset(client);
            },
            &who);
    }
    SECTION("closed before the handler writes twice") {
        printed = printed_for(
            [](ThrowingHandler& handler) {
                if (handler.rfile().read(1).empty()) return;
                while (true) handler.wfile().write("into the void");
            },
            [](Socket& client) {
                client.sendall("x");
                client.close();
            },
            &who);
    }
    SECTION("reset before the handler ends its side") {
        printed = printed_for(
            [](ThrowingHandler& handler) {
                pollfd gone{handler.request().fileno(), POLLRDHUP, 0};
                ::poll(&gone, 1, 10'000);
                handler.request().shutdown(ShutdownHow::write);
            },
            reset, &who);
    }
    CHECK(printed == "");
}

namespace {

/// Its finish() says goodbye even when handle() has failed, and fails as well.
class GoodbyeHandler : public StreamRequestHandler {
    void handle() override {
        rfile().read(4);
        wfile().write("hello\n");
        try {
            rfile().readline();  // its first half has come already: the client is not idle
        } catch (...) {
            std::throw_with_nested(std::runtime_error("while reading the order"));
        }
    }
    void finish() override {
        // More than any buffer holds: to a client that does not read it ends by the stop only.
        if (handle_failed()) request().sendall(std::string(64'000'000, 'x'));
    }
};

}  // namespace

TEST_CASE("nested exceptions are no failure if all of them come of a stop or of the client") {
    const TimeLimit limit;
    CapturedStderr captured;
    SECTION("a stop") {
        ThreadingTCPServer<GoodbyeHandler> server{any_port};
        ServingThread serving{server};
        Socket client = connect(server.server_address());
        client.sendall("half a line");
        REQUIRE(client.recv(100) == "hello\n");
        server.drain(std::chrono::nanoseconds{0});
        CHECK(server.statistics().closed(CloseReason::cancelled) == 1);
    }
    SECTION("a client that left") {
        ThreadingTCPServer<GoodbyeHandler> server{any_port};
        ServingThread serving{server};
        Socket client = connect(server.server_address());
        client.sendall("half a line");
        REQUIRE(client.recv(100) == "hello\n");
        reset(client);
        REQUIRE(eventually([&] { return server.statistics().active == 0; }));
        CHECK(server.statistics().closed(CloseReason::reset) == 1);
    }
    CHECK(captured.text() == "");
}

TEST_CASE("a failure of finish() is printed, although handle() was ended by the client") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void handle() override { rfile().readline(); }
        void finish() override { throw std::logic_error("a mistake in finish()"); }
    };
    CapturedStderr captured;
    {
        TCPServer<Handler> server{any_port};
        ServingThread serving{server};
        Socket client = connect(server.server_address());
        reset(client);
        REQUIRE(eventually([&] { return server.statistics().closed() == 1; }));
        CHECK(server.statistics().closed(CloseReason::reset) == 1);
    }
    CHECK_THAT(captured.text(), ContainsSubstring("a mistake in finish()"));
}

TEST_CASE("an error of another connection is reported, even of the same kind") {
    const TimeLimit limit;
    Address who;
    const std::string printed =
        printed_for(once([](ThrowingHandler&) {
                        throw std::system_error(ECONNRESET, std::system_category(), "database");
                    }),
                    send_line, &who);
    CHECK_THAT(printed, StartsWith(dashes));
    CHECK_THAT(printed, ContainsSubstring("std::system_error: database"));
}

TEST_CASE("a timeout of the client is reported") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void setup() override {
            timeout = std::chrono::milliseconds{1};
            StreamRequestHandler::setup();
        }
        void handle() override { rfile().readline(); }
    };
    CapturedStderr captured;
    {
        TCPServer<Handler> server{any_port};
        ServingThread serving{server};
        Socket client = connect(server.server_address());
        read_to_end(client);
    }
    CHECK_THAT(captured.text(), ContainsSubstring("socketserver::TimeoutError: recv"));
}

namespace {

template <template <class> class MixIn>
class ReportingServer : public TCPServer<ThrowingHandler, MixIn> {
  public:
    using TCPServer<ThrowingHandler, MixIn>::TCPServer;
    using ServerBase::report_server_error;
    ~ReportingServer() override { this->server_close(); }
};

template <template <class> class MixIn>
void check_broken_stderr() {
    const BrokenStderr broken;
    const auto fail = once([](ThrowingHandler&) { throw std::out_of_range("seven is too many"); });
    ReportingServer<MixIn> server{any_port, {}, [&] { return ThrowingHandler{fail}; }};
    ServingThread serving{server};
    for (int i = 0; i < 3; ++i) {
        Socket client = connect(server.server_address());
        send_line(client);
    }
    // Of a child: it ended by itself, with the status that an exception has.
    CHECK(eventually([&] { return server.statistics().closed(CloseReason::error) == 3; }));
    server.report_server_error(std::make_exception_ptr(std::runtime_error{"of the server"}));
    serving.stop();
}

}  // namespace

TEST_CASE("that nobody reads stderr any more ends no server") {
    const TimeLimit limit;
    SECTION("synchronous") { check_broken_stderr<SynchronousMixIn>(); }
    SECTION("threading") { check_broken_stderr<ThreadingMixIn>(); }
    SECTION("a pool") { check_broken_stderr<ThreadPoolMixIn>(); }
    SECTION("forking") { check_broken_stderr<ForkingMixIn>(); }
    SECTION("prefork") { check_broken_stderr<PreforkMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fibers") { check_broken_stderr<FiberMixIn>(); }
#endif
}

TEST_CASE("a SIGPIPE that was waiting before something was printed still comes") {
    sigset_t sigpipe;
    sigset_t before;
    sigset_t pending;
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
    const bool waits = GENERATE(true, false);
    if (waits) ::pthread_kill(::pthread_self(), SIGPIPE);
    {
        const BrokenStderr broken;
        detail::print_error("headline ", Address{}, std::make_exception_ptr(1));
    }
    ::sigpending(&pending);
    CHECK((sigismember(&pending, SIGPIPE) == 1) == waits);
    if (waits) ::sigwaitinfo(&sigpipe, nullptr);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}
