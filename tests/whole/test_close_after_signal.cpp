// SPDX-License-Identifier: MIT
// A signal ends the program within a time, whatever its clients do, under every policy.
#include <atomic>
#include <chrono>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <type_traits>

#include <sys/wait.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/forked_program.hpp"
#include "support/policies.hpp"
#include "support/sanitizers.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

struct Board {
    std::atomic<int> begun;
};

/// Answers lines, and tells the test what it has begun.
class Lines : public StreamRequestHandler {
  public:
    explicit Lines(Board& board) : board_{board} {}

  private:
    void handle() override {
        ++board_.begun;
        for (std::string_view line : rfile()) wfile().write(line);
    }
    Board& board_;
};

/// Whether the handler's thread gets the signal: ThreadSanitizer keeps it back while that is in
/// recv(2).
template <template <class> class MixIn>
inline constexpr bool gets_signals =
    drains_here<MixIn> &&
    !(under_tsan && std::is_same_v<TCPServer<Lines, MixIn>, TCPServer<Lines, SynchronousMixIn>>);

/// A program with a server, and this process as its client.
template <template <class> class MixIn>
class Program {
  public:
    using Server = TCPServer<Lines, MixIn>;

    explicit Program(CloseWithin close)
        : server_{any_port, {}, [this] { return Lines{*board_}; }}, program_{[this, close] {
              signals_.emplace(server_, close);
              server_.serve_forever(1h);
              server_.server_close();
              return 7;
          }} {}

    Socket connect() { return tests::connect(server_.server_address()); }
    Board& board() { return *board_; }
    /// Before wait(): the process id stays the program's until then.
    void send(int signal) {
        if (program_.pid() <= 0) throw std::logic_error("the program has been waited for");
        ::kill(program_.pid(), signal);
    }
    bool has_ended() const {
        siginfo_t info{};
        const auto pid = static_cast<id_t>(program_.pid());
        return ::waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
    }
    /// Its exit status.
    int wait() { return program_.wait(); }

  private:
    const Shared<Board> board_;
    Server server_;
    std::optional<ShutdownOnSignal> signals_;  // in the program, to its very end
    ForkedProgram program_;
};

/// One client has not sent anything yet, or owes the next request; the time for the others does not
/// matter then.
template <template <class> class MixIn>
void ends_with_a_silent_client() {
    if (!gets_signals<MixIn>) return;
    const TimeLimit limit;
    const int signal = GENERATE(SIGINT, SIGTERM);
    const bool has_spoken = GENERATE(false, true);
    CAPTURE(signal, has_spoken);
    Program<MixIn> program{CloseWithin{1h}};
    Socket client = program.connect();
    if (has_spoken) CHECK(ask(client, "hello\n") == "hello\n");
    REQUIRE(eventually([&] { return program.board().begun == 1; }));
    program.send(signal);
    CHECK(program.wait() == 7);
    CHECK(read_to_end(client).empty());
}

/// One client has sent a part of its request.
template <template <class> class MixIn>
void ends_with_a_slow_client() {
    if (!gets_signals<MixIn>) return;
    const TimeLimit limit;
    const bool twice = GENERATE(false, true);
    CAPTURE(twice);
    Program<MixIn> program{CloseWithin{twice ? std::chrono::nanoseconds{1h} : 50ms}};
    Socket client = program.connect();
    client.sendall("one\nhalf");  // in one segment
    CHECK(client.recv(100) == "one\n");
    program.send(SIGINT);
    if (!twice) {
        CHECK(program.wait() == 7);
        return;
    }
    // Nothing tells that the first one has had its effect; until it has, the next one is the first.
    CHECK(eventually([&] {
        program.send(SIGINT);
        return program.has_ended();
    }));
    CHECK(program.wait() == 7);
}

/// What the signal says, if the server serves again.
template <template <class> class MixIn>
int serve_again() {
    const Shared<Board> board;
    TCPServer<Lines, MixIn> server{any_port, {}, [&] { return Lines{*board}; }};
    const ShutdownOnSignal signals{server, CloseWithin{0ms}};
    Socket client;
    {
        ServingThread serving{server};
        client = connect(server.server_address());
        if (ask(client, "before\n") != "before\n") return 1;
        ::raise(SIGINT);
        serving.join();
    }
    {
        ServingThread serving{server};
        if (ask(client, "after\n") != "after\n") return 2;
        serving.stop();
    }
    ClosingThread closing{server};
    if (ask(client, "and when it closes\n") != "and when it closes\n") return 3;
    client.close();
    closing.join();
    return server.statistics().closed(CloseReason::cancelled) == 0 ? 7 : 4;
}

}  // namespace

TEST_CASE("a silent client does not keep a signal from ending the program") {
    SECTION("synchronous") { ends_with_a_silent_client<SynchronousMixIn>(); }
    SECTION("threading") { ends_with_a_silent_client<ThreadingMixIn>(); }
    SECTION("forking") { ends_with_a_silent_client<ForkingMixIn>(); }
    SECTION("pool") { ends_with_a_silent_client<ThreadPoolMixIn>(); }
    SECTION("prefork") { ends_with_a_silent_client<PreforkMixIn>(); }
}

TEST_CASE("a slow client keeps a signal from ending the program for a time, or until the second") {
    SECTION("synchronous") { ends_with_a_slow_client<SynchronousMixIn>(); }
    SECTION("threading") { ends_with_a_slow_client<ThreadingMixIn>(); }
    SECTION("forking") { ends_with_a_slow_client<ForkingMixIn>(); }
    SECTION("pool") { ends_with_a_slow_client<ThreadPoolMixIn>(); }
    SECTION("prefork") { ends_with_a_slow_client<PreforkMixIn>(); }
    SECTION("prefork with threads") { ends_with_a_slow_client<PreforkOf<ThreadingMixIn>::MixIn>(); }
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("a signal ends a program with fibers, whatever its clients do") {
    SECTION("silent") { ends_with_a_silent_client<FiberMixIn>(); }
    SECTION("slow") { ends_with_a_slow_client<FiberMixIn>(); }
    SECTION("silent, in workers") { ends_with_a_silent_client<PreforkOf<FiberMixIn>::MixIn>(); }
}
#endif

TEST_CASE("after a signal a server may serve again, and nobody is broken off") {
    const TimeLimit limit;
    SECTION("threading") { CHECK(run_in_child(serve_again<ThreadingMixIn>) == 7); }
    SECTION("pool") { CHECK(run_in_child(serve_again<ThreadPoolMixIn>) == 7); }
}

TEST_CASE("by default a signal gives a request five seconds") {
    const TimeLimit limit;
    Program<ThreadingMixIn> program{CloseWithin{}};
    Socket client = program.connect();
    client.sendall("one\nhalf");
    CHECK(client.recv(100) == "one\n");
    const auto before = std::chrono::steady_clock::now();
    program.send(SIGINT);
    CHECK(program.wait() == 7);
    CHECK(std::chrono::steady_clock::now() - before >= 5s);
}

TEST_CASE("after a signal server_close() breaks nobody off for whom it does not wait") {
    const TimeLimit limit;
    const bool daemons = GENERATE(false, true);
    CHECK(run_in_child([&] {
              const Shared<Board> board;
              TCPServer<Lines, ThreadingMixIn> server{any_port, {}, [&] { return Lines{*board}; }};
              (daemons ? server.daemon_threads : server.block_on_close) = daemons;
              const ShutdownOnSignal signals{server, CloseWithin{0ms}};
              ServingThread serving{server};
              Socket client = connect(server.server_address());
              if (ask(client, "before\n") != "before\n") return 1;
              ::raise(SIGINT);
              serving.join();
              server.server_close();
              return ask(client, "after\n") == "after\n" ? 7 : 2;
          }) == 7);
}

TEST_CASE("without a signal server_close() waits for as long as a request lasts") {
    const TimeLimit limit;
    CHECK(run_in_child([] {
              const Shared<Board> board;
              TCPServer<Lines, ThreadingMixIn> server{any_port, {}, [&] { return Lines{*board}; }};
              const ShutdownOnSignal signals{server, CloseWithin{0ms}};
              ServingThread serving{server};
              Socket client = connect(server.server_address());
              if (ask(client, "before\n") != "before\n") return 1;
              serving.stop();
              ClosingThread closing{server};
              if (ask(client, "after\n") != "after\n") return 2;
              client.close();
              closing.join();
              return 7;
          }) == 7);
}
