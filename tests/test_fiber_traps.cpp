// SPDX-License-Identifier: MIT
// What goes wrong with fibers unless somebody sees to it.
#include <array>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catch.hpp"
#include "fiber_serving.hpp"
#include "sanitizers.hpp"
#include "sys.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
namespace sys = socketserver::detail::sys;

constexpr bool sanitized = under_asan || under_tsan;

constexpr int install_guard = 102;  // MADV_GUARD_INSTALL

bool kernel_installs_guards() {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    void* memory = ::mmap(nullptr, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const bool done = ::madvise(memory, page, install_guard) == 0;
    ::munmap(memory, page);
    return done;
}

std::size_t mappings() {
    std::ifstream maps{"/proc/self/maps"};
    std::size_t count = 0;
    for (std::string line; std::getline(maps, line);) ++count;
    return count;
}

std::size_t resident_bytes() {
    std::ifstream file{"/proc/self/statm"};
    std::size_t all = 0;
    std::size_t resident = 0;
    file >> all >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// Runs one function in a fiber of a server with one worker.
void in_fiber(const std::function<void()>& function, std::size_t stack_size = 256 * 1024) {
    std::exception_ptr error;
    CallingServer server{[&](Calling& handler) {
        try {
            function();
        } catch (...) {
            error = std::current_exception();
        }
        handler.wfile().write("done\n");
    }};
    server.stack_size = stack_size;
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    read_to_end(client);
    serving.stop();
    if (error) std::rethrow_exception(error);
}

/// Puts the kernel's own calls back.
struct RestoreCalls {
    RestoreCalls() = default;
    RestoreCalls(const RestoreCalls&) = delete;
    RestoreCalls& operator=(const RestoreCalls&) = delete;
    ~RestoreCalls() { sys::calls = sys::kernel; }
};

std::atomic<int> protected_stacks{0};
std::atomic<int> most_protected{0};

int madvise_of_old_kernel(void* where, std::size_t size, int advice) {
    if (advice != install_guard) return sys::kernel.madvise(where, size, advice);
    errno = EINVAL;
    return -1;
}

int mprotect_within_limit(void* where, std::size_t size, int protection) {
    if (++protected_stacks <= most_protected) return sys::kernel.mprotect(where, size, protection);
    errno = ENOMEM;
    return -1;
}

std::pair<Socket, Socket> socket_pair() {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1) {
        throw std::system_error(errno, std::system_category(), "socketpair");
    }
    return {Socket{ends[0]}, Socket{ends[1]}};
}

/// Touches so much of the stack. A compiler that saw what becomes of the frames would shrink them.
[[gnu::noinline]] std::size_t use_stack(std::size_t bytes) {
    std::array<char, 1024> frame{};
    asm volatile("" : : "r"(frame.data()) : "memory");
    if (bytes <= frame.size()) return frame.size();
    const std::size_t below = use_stack(bytes - frame.size());
    asm volatile("" : : "r"(frame.data()) : "memory");
    return below + frame.size();
}

}  // namespace

TEST_CASE("more fibers than the kernel gives mappings for guards by mprotect") {
    if (!kernel_installs_guards()) return;  // then the next test says what happens
    const TimeLimit limit;
    constexpr std::size_t count = sanitized ? 2000 : 40'000;  // TSan knows 8,000 fibers
    std::size_t added = 0;
    std::size_t woken = 0;
    in_fiber([&] {
        const std::size_t before = mappings();
        Mutex mutex;
        ConditionVariable go;
        bool gone = false;
        std::vector<Fiber> fibers;
        for (std::size_t i = 0; i < count; ++i) {
            fibers.push_back(spawn([&] {
                std::unique_lock lock{mutex};
                go.wait(lock, [&] { return gone; });
                ++woken;
            }));
        }
        yield();
        added = mappings() - before;
        gone = true;
        go.notify_all();
        for (Fiber& fiber : fibers) fiber.join();
    });
    CHECK(woken == count);
    if (!sanitized) CHECK(added < 2000);  // a sanitizer maps memory of its own for each
}

TEST_CASE("a fiber that no guard can be had for costs one connection, not the server") {
    const TimeLimit limit;
    const RestoreCalls restore;
    sys::calls.madvise = madvise_of_old_kernel;
    sys::calls.mprotect = mprotect_within_limit;
    protected_stacks = 0;
    most_protected = 3;  // the scheduler's own stack, and two fibers
    CallingServer server{
        [](Calling& handler) { handler.wfile().write(handler.rfile().readline()); }};
    ServingThread serving{server};
    Socket one = connect(server.server_address());
    Socket two = connect(server.server_address());
    Socket refused = connect(server.server_address());
    CHECK(read_to_end(refused).empty());
    CHECK(ask(one, "one\n") == "one\n");
    CHECK(ask(two, "two\n") == "two\n");
    // Their stacks are free again.
    CHECK(read_to_end(one).empty());
    CHECK(ask(server.server_address(), "three\n") == "three\n");
    serving.stop();
    const auto errors = server.errors();
    REQUIRE(errors.size() == 1);
    CHECK_THAT(errors[0], Catch::Matchers::ContainsSubstring("vm.max_map_count"));
}

TEST_CASE("a stack overflow is reported with the client's name, and ends the program") {
    const TimeLimit limit;
    const bool with_mprotect = GENERATE(false, true);
    const RestoreCalls restore;
    if (with_mprotect) sys::calls.madvise = madvise_of_old_kernel;
    CallingServer server{[](Calling& handler) {
        handler.rfile().readline();
        handler.wfile().print("{}", use_stack(std::size_t{1} << 30));
    }};
    int messages[2] = {-1, -1};
    REQUIRE(::pipe(messages) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const rlimit no_core{0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        ::dup2(messages[1], STDERR_FILENO);
        ::close(messages[0]);
        ::close(messages[1]);
        ::signal(SIGSEGV, SIG_DFL);  // not Catch's, which would write a report of its own
        ::alarm(40);
        server.handle_request();
        ::_exit(0);
    }
    ::close(messages[1]);
    Socket client = connect(server.server_address());
    client.sendall("overflow\n");
    std::string text;
    std::array<char, 4096> part{};
    for (ssize_t size = 0; (size = ::read(messages[0], part.data(), part.size())) > 0;) {
        text.append(part.data(), static_cast<std::size_t>(size));
    }
    ::close(messages[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK_THAT(text, Catch::Matchers::ContainsSubstring("stack overflow in the fiber"));
    CHECK_THAT(text, Catch::Matchers::ContainsSubstring(
                         "127.0.0.1 port " + std::to_string(client.getsockname().port())));
    if (!sanitized) CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
}

TEST_CASE("the size of the stack can be set") {
    const TimeLimit limit;
    std::size_t used = 0;
    in_fiber([&] { used = use_stack(std::size_t{3} << 20); }, std::size_t{8} << 20);
    CHECK(used > 0);
}

TEST_CASE("the stacks of a burst go back to the system") {
    const TimeLimit limit;
    constexpr std::size_t count = 2000;
    constexpr std::size_t each = std::size_t{64} * 1024;
    std::size_t during = 0;
    std::size_t after = 0;
    const std::size_t before = resident_bytes();
    in_fiber([&] {
        Mutex mutex;
        ConditionVariable go;
        bool gone = false;
        std::vector<Fiber> fibers;
        for (std::size_t i = 0; i < count; ++i) {
            fibers.push_back(spawn([&] {
                use_stack(each);
                std::unique_lock lock{mutex};
                go.wait(lock, [&] { return gone; });
            }));
        }
        yield();
        during = resident_bytes();
        gone = true;
        go.notify_all();
        for (Fiber& fiber : fibers) fiber.join();
        fibers.clear();
        yield();
        after = resident_bytes();
    });
    CHECK(during - before > count * each * 9 / 10);
    // What a sanitizer notes of the stacks stays.
    if (!sanitized) CHECK(after < before + (during - before) / 4);
}

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
            auto [one, other] = socket_pair();
            while (!stop) {
                one.sendall("x");
                other.recv(1);
            }
        } else if (kind == "read buffered\n") {
            auto [one, other] = socket_pair();
            BufferedReader reader{other};
            while (!stop) {
                one.send("line\n");
                reader.readline();
            }
        } else {
            while (!stop) yield();
        }
    }};
    ServingThread serving{server};
    Socket greedy = connect(server.server_address());
    const std::string kind = GENERATE("receive and send\n", "read buffered\n", "yield\n");
    greedy.sendall(kind);
    CHECK(greedy.recv(64) == "begun\n");
    // Accepted and served although the other is always ready.
    CHECK(ask(server.server_address(), "stop\n") == "begun\n");
    CHECK(read_to_end(greedy).empty());
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
        report_blocking = 10ms;
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
    CHECK(report.second >= 10ms);
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
