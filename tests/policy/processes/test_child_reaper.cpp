// SPDX-License-Identifier: MIT
#include "socketserver/detail/policy/processes/child_reaper.hpp"

#include <malloc.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <thread>

#include "socketserver/detail/os/waker.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver::tests;
using namespace std::chrono_literals;
using socketserver::detail::ChildReaper;
using socketserver::detail::Waker;

namespace {

bool is_readable(int descriptor, int milliseconds) {
    pollfd entry{descriptor, POLLIN, 0};
    return ::poll(&entry, 1, milliseconds) == 1;
}

/// Makes a child that ends once `go` is readable.
void make_child(ChildReaper& reaper, const Waker& go) {
    if (!reaper.fork()) return;
    is_readable(go.fileno(), 20'000);
    ::_exit(0);
}

/// Whether a child of this process has ended, without taking its status.
bool has_ended(pid_t pid) {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) == 0;
}

bool collects_all(ChildReaper& reaper) {
    const Stopwatch watch;
    while (reaper.count() > 0 && watch.elapsed() < 20s) {
        reaper.collect(false);
        std::this_thread::yield();
    }
    return reaper.count() == 0;
}

std::ptrdiff_t open_descriptors() {
    using std::filesystem::directory_iterator;
    return std::distance(directory_iterator{"/proc/self/fd"}, directory_iterator{});
}

}  // namespace

TEST_CASE("a reaper without children") {
    ChildReaper reaper;
    CHECK(reaper.count() == 0);
    CHECK(reaper.pids().empty());
    CHECK(reaper.fileno() == -1);
    reaper.collect(false);
    reaper.collect(true);
}

TEST_CASE("children are collected once they have ended, not before") {
    const auto before = open_descriptors();
    {
        ChildReaper reaper;
        const Waker first;
        const Waker second;
        make_child(reaper, first);
        make_child(reaper, second);
        REQUIRE(reaper.count() == 2);
        const std::vector<int> pids = reaper.pids();
        CHECK(is_close_on_exec(reaper.fileno()));
        reaper.collect(false);
        CHECK(reaper.count() == 2);

        first.wake();
        REQUIRE(is_readable(reaper.fileno(), 20'000));
        reaper.collect(false);
        CHECK(reaper.pids() == std::vector{pids[1]});
        CHECK_FALSE(is_readable(reaper.fileno(), 0));
        CHECK(::waitpid(pids[0], nullptr, WNOHANG) == -1);

        second.wake();
        reaper.collect(true);
        CHECK(reaper.count() == 0);
        CHECK(::waitpid(pids[1], nullptr, WNOHANG) == -1);
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("another's child is left to it") {
    const pid_t foreign = ::fork();
    if (foreign == 0) ::_exit(7);
    REQUIRE(foreign > 0);
    REQUIRE(has_ended(foreign));
    ChildReaper reaper;
    const Waker go;
    go.wake();
    make_child(reaper, go);
    reaper.collect(true);
    reaper.collect(false);
    int status = 0;
    CHECK(::waitpid(foreign, &status, 0) == foreign);
    CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("a child that somebody else has waited for is gone") {
    ChildReaper reaper;
    const Waker go;
    go.wake();
    make_child(reaper, go);
    CHECK(::waitpid(reaper.pids().at(0), nullptr, 0) == reaper.pids().at(0));
    const bool blocking = GENERATE(false, true);
    reaper.collect(blocking);
    CHECK(reaper.count() == 0);
}

TEST_CASE("without pidfds the children are looked after in each turn") {
    const auto before = open_descriptors();
    {
        ChildReaper reaper;
        const Waker go;
        {
            const Scripted<&Calls::pidfd_open> none{[](pid_t, unsigned) { return fail(ENOSYS); }};
            make_child(reaper, go);
        }
        make_child(reaper, go);
        reaper.collect(false);
        reaper.collect(false);
        CHECK(reaper.count() == 2);
        go.wake();
        CHECK(collects_all(reaper));
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("a pidfd that cannot be watched is as none") {
    ChildReaper reaper;
    const Waker go;
    {
        // No descriptor that epoll can watch, but one that is open.
        const Scripted<&Calls::pidfd_open> file{
            [](pid_t, unsigned) { return ::open("/proc/self/stat", O_RDONLY | O_CLOEXEC); }};
        make_child(reaper, go);
    }
    reaper.collect(false);
    CHECK(reaper.count() == 1);
    go.wake();
    CHECK(collects_all(reaper));
}

TEST_CASE("a fork that fails is an error and leaves nothing") {
    ChildReaper reaper;
    const Scripted<&Calls::fork> fork{[] { return fail(EAGAIN); }};
    CHECK(error_of([&] { reaper.fork(); }) == EAGAIN);
    CHECK_THAT(text_of([&] { reaper.fork(); }), Catch::Matchers::StartsWith("fork a process"));
    CHECK(reaper.count() == 0);
}

TEST_CASE("waiting goes on after a signal") {
    ChildReaper reaper;
    const Waker go;
    go.wake();
    make_child(reaper, go);
    int interruptions = 0;
    const Scripted<&Calls::waitpid> waitpid{[&](pid_t pid, int* status, int options) {
        if (++interruptions < 3) return fail(EINTR);
        return sys::kernel.waitpid(pid, status, options);
    }};
    reaper.collect(true);
    CHECK(reaper.count() == 0);
    CHECK(interruptions == 3);
}

TEST_CASE("standard output is written once, by whom it was written") {
    const TemporaryFolder folder;
    const std::string path = folder / "out";
    std::fflush(stdout);
    std::cout.flush();
    const int kept = ::dup(STDOUT_FILENO);
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    REQUIRE(::dup2(file, STDOUT_FILENO) == STDOUT_FILENO);
    {
        ChildReaper reaper;
        std::fputs("parent;", stdout);
        if (reaper.fork()) {
            std::fputs("child;", stdout);
            socketserver::detail::exit_child(3);
        }
        reaper.collect(true);
        std::fputs("end;", stdout);
        std::fflush(stdout);
    }
    ::dup2(kept, STDOUT_FILENO);
    ::close(kept);
    std::string written(100, '\0');
    const ssize_t size = ::pread(file, written.data(), written.size(), 0);
    ::close(file);
    REQUIRE(size > 0);
    CHECK(written.substr(0, static_cast<std::size_t>(size)) == "parent;child;end;");
}

TEST_CASE("exit_child ends with its status") {
    ChildReaper reaper;
    if (reaper.fork()) socketserver::detail::exit_child(9);
    int status = 0;
    CHECK(::waitpid(reaper.pids().at(0), &status, 0) == reaper.pids().at(0));
    CHECK(WEXITSTATUS(status) == 9);
}

TEST_CASE("the record of children takes memory in proportion to their number, and gives it back") {
    constexpr int many = 4000;
    const auto in_use = [] {
        const struct mallinfo2 info = ::mallinfo2();
        return info.uordblks + info.hblkhd;
    };
    int last = 0;
    const Scripted<&Calls::fork> fork{[&] { return 1'000'000'000 + ++last; }};  // no such process
    const Scripted<&Calls::pidfd_open> none{[](pid_t, unsigned) { return fail(ENOSYS); }};
    ChildReaper reaper;
    const std::size_t before = in_use();
    for (int i = 0; i < many; ++i) REQUIRE_FALSE(reaper.fork());
    CHECK(reaper.count() == many);
    CHECK(in_use() - before < std::size_t{many} * 200);
    reaper.collect(true);  // ECHILD: somebody else has waited for them
    CHECK(reaper.count() == 0);
    while (reaper.take_ended()) {
    }
    CHECK(in_use() <= before + 20'000);  // what malloc and stdio keep
}

TEST_CASE("a signal goes to the child itself, not to whoever has its number") {
    ChildReaper reaper;
    const Waker go;
    make_child(reaper, go);
    int signalled = 0;
    {
        const Scripted<&Calls::pidfd_send_signal> by_descriptor{[&](int pidfd, int signal) {
            ++signalled;
            return sys::kernel.pidfd_send_signal(pidfd, signal);
        }};
        reaper.kill(SIGKILL);
    }
    CHECK(signalled == 1);
    int status = 0;
    CHECK(::waitpid(reaper.pids().at(0), &status, 0) == reaper.pids().at(0));
    CHECK(WTERMSIG(status) == SIGKILL);
    reaper.kill(SIGKILL);  // it has gone, and nobody else is meant
    CHECK(errno == ESRCH);
}

TEST_CASE("without pidfds the set that the loop waits for is readable now and then") {
    ChildReaper reaper;
    const Waker go;
    {
        const Scripted<&Calls::pidfd_open> none{[](pid_t, unsigned) { return fail(ENOSYS); }};
        make_child(reaper, go);
    }
    for (int i = 0; i < 2; ++i) {
        CHECK(is_readable(reaper.fileno(), 20'000));
        reaper.collect(false);
        CHECK_FALSE(is_readable(reaper.fileno(), 0));
    }
    go.wake();
    CHECK(collects_all(reaper));
    reaper.collect(false);
    CHECK_FALSE(is_readable(reaper.fileno(), 100));
}

TEST_CASE("without a set, or a timer in it, the loop is told when to look after the children") {
    const auto before = open_descriptors();
    {
        ChildReaper reaper;
        const Waker go;
        CHECK(reaper.check_at() == socketserver::detail::never);
        SECTION("no set") {
            const Scripted<&Calls::epoll_create1> none{[](int) { return fail(ENOMEM); }};
            make_child(reaper, go);
        }
        SECTION("no timer") {
            const Scripted<&Calls::pidfd_open> no_pidfd{[](auto...) { return fail(ENOSYS); }};
            const Scripted<&Calls::timerfd_create> none{[](auto...) { return fail(EMFILE); }};
            make_child(reaper, go);
        }
        SECTION("no room for the timer") {
            const Scripted<&Calls::epoll_ctl> full{[](auto...) { return fail(ENOSPC); }};
            make_child(reaper, go);
        }
        CHECK(reaper.check_at() < socketserver::detail::Clock::now() + 1s);
        go.wake();
        CHECK(collects_all(reaper));
        CHECK(reaper.check_at() == socketserver::detail::never);
    }
    CHECK(open_descriptors() == before);
}
