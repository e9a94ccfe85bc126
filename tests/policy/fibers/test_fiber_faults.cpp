// SPDX-License-Identifier: MIT
// The handler of SIGSEGV that reports overflows: what it reports, and that everything else happens
// as if it were not there.
#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>

#include <dlfcn.h>
#include <pthread.h>

#include "support/catch.hpp"
#include "support/fiber_serving.hpp"
#include "support/in_child.hpp"
#include "support/replaced_new.hpp"
#include "support/sanitizers.hpp"

using namespace socketserver;
using namespace socketserver::tests;

namespace {

/// From then on allocating is reported on stderr.
std::atomic<bool> tell_allocations{false};
/// Allocations of this size fail.
std::atomic<std::size_t> size_that_fails{0};

}  // namespace

void* socketserver::tests::allocate(std::size_t size) noexcept {
    if (tell_allocations) write_text("[allocated]");
    if (size == size_that_fails) return nullptr;
    return std::malloc(size);  // NOLINT(cppcoreguidelines-no-malloc)
}

namespace {

/// Runs a function in a fiber of a child process, on a server whose handler of SIGSEGV is there.
ChildEnd in_fiber_of_child(const std::function<void()>& before,
                           const std::function<void()>& in_the_fiber) {
    return in_child([&] {
        before();
        in_fiber(in_the_fiber);
    });
}

[[gnu::noinline]] std::size_t use_up_stack(std::size_t depth) {
    std::array<volatile char, 1024> frame{};
    frame[0] = static_cast<char>(depth);
    return depth == 0 ? 0 : use_up_stack(depth - 1) + static_cast<unsigned char>(frame[0]);
}

/// A frame that is larger than stack and guard together.
[[gnu::noinline]] int use_large_frame() {
    std::array<volatile char, std::size_t{1} << 20> frame;
    frame[0] = 1;
    return frame[0];
}

void touch_nothing_there() { *reinterpret_cast<volatile int*>(8) = 1; }

void install(int flags, void (*handler)(int, siginfo_t*, void*),
             struct sigaction* former = nullptr) {
    struct sigaction action {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | flags;
    ::sigaddset(&action.sa_mask, SIGUSR1);
    ::sigaction(SIGSEGV, &action, former);
}

struct sigaction former_of_reporter;

/// A crash reporter that is installed late and calls who was there before.
void reporter(int signal, siginfo_t* info, void* context) {
    write_text("[crash]");
    if ((former_of_reporter.sa_flags & SA_SIGINFO) != 0) {
        former_of_reporter.sa_sigaction(signal, info, context);
    } else if (former_of_reporter.sa_handler == SIG_DFL) {
        ::signal(signal, SIG_DFL);
    }
}

void say_once(int, siginfo_t*, void*) { write_text("[once]"); }

/// Says what the kernel promises to a handler: its stack, the mask, and who sent the signal.
void say_how(int, siginfo_t* info, void*) {
    stack_t stack{};
    ::sigaltstack(nullptr, &stack);
    write_text((stack.ss_flags & SS_ONSTACK) != 0 ? "[signal stack]" : "[ordinary stack]");
    sigset_t mask;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    if (::sigismember(&mask, SIGUSR1) == 1) write_text("[mask]");
    write_text(::sigismember(&mask, SIGSEGV) == 1 ? "[deferred]" : "[not deferred]");
    if (info->si_code == SI_QUEUE && info->si_value.sival_int == 42) write_text("[value]");
}

}  // namespace

TEST_CASE("a crash reporter that is installed after the first worker is called once") {
    const TimeLimit limit;
    const ChildEnd end = in_child([] {
        std::atomic<int> served{0};
        CallingServer server{[&](Calling& handler) {
                                 handler.wfile().write(handler.rfile().readline());
                                 ++served;
                                 if (handler.rfile().readline() == "crash\n") touch_nothing_there();
                             },
                             2};
        ServingThread serving{server};
        Socket one = connect(server.server_address());
        ask(one, "one\n");
        install(SA_ONSTACK, reporter, &former_of_reporter);
        Socket two = connect(server.server_address());
        ask(two, "two\n");  // the second worker
        two.sendall("crash\n");
        read_to_end(two);
    });
    CHECK(count_of("[crash]", end.text) == 1);
    if (!under_asan && !under_tsan) CHECK(end.killed_by(SIGSEGV));
}

TEST_CASE("a handler that was installed for one fault is called for one fault") {
    const TimeLimit limit;
    const int stack = GENERATE(0, SA_ONSTACK);
    const ChildEnd end = in_fiber_of_child(
        [&] { install(static_cast<int>(SA_RESETHAND) | stack, say_once); }, touch_nothing_there);
    CHECK(end.text == "[once]");
    CHECK(end.killed_by(SIGSEGV));
}

TEST_CASE("a SIGSEGV that was sent ends the process as it would have ended") {
    const TimeLimit limit;
    const ChildEnd end = in_fiber_of_child([] {}, [] { ::kill(::getpid(), SIGSEGV); });
    CHECK(end.killed_by(SIGSEGV));
}

TEST_CASE("a SIGSEGV that was sent is ignored where it was ignored") {
    const TimeLimit limit;
    const ChildEnd end = in_fiber_of_child([] { ::signal(SIGSEGV, SIG_IGN); },
                                           [] {
                                               ::raise(SIGSEGV);
                                               write_text("[after]");
                                           });
    CHECK(end.text == "[after]");
    CHECK(end.exited_with(0));
}

TEST_CASE("the handler before gets its stack, its mask and what the sender said") {
    if (under_tsan) return;  // which calls handlers on its own terms
    const TimeLimit limit;
    const int stack = GENERATE(0, SA_ONSTACK);
    const int defer = GENERATE(0, SA_NODEFER);
    const ChildEnd end = in_fiber_of_child([&] { install(stack | defer, say_how); },
                                           [] {
                                               sigval value{};
                                               value.sival_int = 42;
                                               ::pthread_sigqueue(::pthread_self(), SIGSEGV, value);
                                               ::pthread_sigqueue(::pthread_self(), SIGSEGV, value);
                                           });
    const std::string once = std::string{stack != 0 ? "[signal stack]" : "[ordinary stack]"} +
                             "[mask]" + (defer != 0 ? "[not deferred]" : "[deferred]") + "[value]";
    CHECK(end.text == once + once);
    CHECK(end.exited_with(0));
}

TEST_CASE("the report of an overflow takes no memory, and names every client") {
    const TimeLimit limit;
    std::optional<TCPServer<Calling, FiberMixIn>> server;
    const auto handler = [] {
        return Calling{[](Calling& self) {
            self.rfile().readline();
            tell_allocations = true;
            self.wfile().print("{}", use_up_stack(std::size_t{1} << 30));
        }};
    };
    try {
        server.emplace(Address{"::", 0}, ServerOptions{}, handler);
    } catch (const std::system_error&) {
        return;  // no IPv6 here
    }
    Socket client;
    std::string port;
    const ChildEnd end = in_child(
        [&] {
            server->handle_request();
            server->server_close();
        },
        [&] {
            client = connect({"127.0.0.1", server->server_address().port()});
            port = std::to_string(client.getsockname().port());
            client.sendall("overflow\n");
        });
    CHECK(count_of("[allocated]", end.text) == 0);
    CHECK_THAT(end.text, Catch::Matchers::ContainsSubstring(
                             "stack overflow in the fiber that serves ::ffff:127.0.0.1 port " +
                             port + " (its stack has "));
    if (!under_asan && !under_tsan) CHECK(end.killed_by(SIGSEGV));
}

TEST_CASE("a frame that is larger than the guard does not jump over it") {
    const TimeLimit limit;
    const ChildEnd end =
        in_child([] { in_fiber([] { use_large_frame(); }, std::size_t{64} * 1024); });
    CHECK_THAT(end.text, Catch::Matchers::ContainsSubstring("stack overflow in the fiber"));
    if (!under_asan && !under_tsan) CHECK(end.killed_by(SIGSEGV));
}

TEST_CASE("a worker that gets no stack for signals serves without") {
    const TimeLimit limit;
    const ChildEnd end = in_child([] {
        size_that_fails = std::size_t{64} * 1024;
        CallingServer server{[](Calling& handler) {
                                 for (std::string_view line : handler.rfile())
                                     handler.wfile().write(line);
                             },
                             2};
        ServingThread serving{server};
        Socket one = connect(server.server_address());
        Socket two = connect(server.server_address());
        if (ask(one, "one\n") == "one\n" && ask(two, "two\n") == "two\n") write_text("[served]");
    });
    CHECK(end.text == "[served]");
    CHECK(end.exited_with(0));
}

#ifdef SOCKETSERVER_FIBER_PLUGIN
TEST_CASE("a plugin with a fiber server that was unloaded leaves no handler that has gone") {
    const TimeLimit limit;
    const ChildEnd end = in_child([] {
        install(SA_ONSTACK, [](int, siginfo_t*, void*) {
            write_text("[reached]");
            ::_exit(0);
        });
        void* plugin = ::dlopen(SOCKETSERVER_FIBER_PLUGIN, RTLD_NOW | RTLD_LOCAL);
        if (plugin == nullptr) write_text(::dlerror());
        reinterpret_cast<void (*)()>(::dlsym(plugin, "serve_one_request"))();
        ::dlclose(plugin);
        touch_nothing_there();
    });
    CHECK(end.text == "[reached]");
    CHECK(end.exited_with(0));
}
#endif
