// SPDX-License-Identifier: MIT
#include "socketserver/detail/os/waker.hpp"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver::tests;
using socketserver::detail::Waker;

namespace {

bool is_readable(const Waker& waker, int milliseconds = 0) {
    pollfd entry{waker.fileno(), POLLIN, 0};
    return ::poll(&entry, 1, milliseconds) == 1;
}

const Waker* waker_of_signal = nullptr;

}  // namespace

TEST_CASE("a waker is readable from wake() to reset()") {
    const Waker waker;
    CHECK_FALSE(is_readable(waker));
    waker.reset();  // takes back nothing, and does not wait
    waker.wake();
    waker.wake();
    CHECK(is_readable(waker));
    CHECK(is_readable(waker));
    waker.reset();
    CHECK_FALSE(is_readable(waker));
    waker.wake();
    CHECK(is_readable(waker));
}

TEST_CASE("another thread's wake() ends a wait") {
    const Waker waker;
    const std::jthread other{[&] { waker.wake(); }};
    CHECK(is_readable(waker, 20'000));
}

TEST_CASE("wake() in a signal handler leaves errno alone") {
    const Waker waker;
    waker_of_signal = &waker;
    struct sigaction action {};
    action.sa_handler = [](int) { waker_of_signal->wake(); };
    struct sigaction before {};
    REQUIRE(::sigaction(SIGUSR1, &action, &before) == 0);
    errno = EXDEV;
    ::raise(SIGUSR1);
    const int error = errno;
    ::sigaction(SIGUSR1, &before, nullptr);
    CHECK(error == EXDEV);
    CHECK(is_readable(waker));
}

TEST_CASE("a child's wake() reaches the parent") {
    const Waker waker;
    const pid_t child = ::fork();
    if (child == 0) {
        waker.wake();
        ::_exit(0);
    }
    REQUIRE(child > 0);
    CHECK(is_readable(waker, 20'000));
    CHECK(::waitpid(child, nullptr, 0) == child);
}

TEST_CASE("any number of wakes does not block") {
    const Waker waker;
    const std::uint64_t nearly_full = 0xfffffffffffffffdU;
    REQUIRE(::write(waker.fileno(), &nearly_full, sizeof nearly_full) == sizeof nearly_full);
    for (int i = 0; i < 10; ++i) waker.wake();
    CHECK(is_readable(waker));
    waker.reset();
    CHECK_FALSE(is_readable(waker));
}

TEST_CASE("a waker owns its descriptor and keeps it from other programs") {
    int descriptor = -1;
    {
        const Waker waker;
        descriptor = waker.fileno();
        CHECK(is_close_on_exec(descriptor));
    }
    CHECK_FALSE(is_open(descriptor));
}

TEST_CASE("no descriptor, no waker") {
    const Scripted<&Calls::eventfd> eventfd{[](unsigned, int) { return fail(EMFILE); }};
    CHECK(error_of([] { const Waker waker; }) == EMFILE);
}
