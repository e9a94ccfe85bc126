// SPDX-License-Identifier: MIT
#include "os/sys.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver::tests;
namespace sys = socketserver::detail::sys;

TEST_CASE("the library calls the kernel unless a test says otherwise") {
    CHECK(std::memcmp(&sys::calls, &sys::kernel, sizeof sys::calls) == 0);
    {
        const Scripted<&Calls::fork> fork{[] { return fail(EAGAIN); }};
        CHECK(sys::calls.fork() == -1);
        CHECK(errno == EAGAIN);
        CHECK(sys::calls.socket == sys::kernel.socket);
    }
    CHECK(std::memcmp(&sys::calls, &sys::kernel, sizeof sys::calls) == 0);
}

TEST_CASE("an exception of the test puts the kernel back") {
    try {
        const Scripted<&Calls::listen> listen{[](int, int) { return 0; }};
        throw 1;
    } catch (int) {
        CHECK(sys::calls.listen == sys::kernel.listen);
    }
}

TEST_CASE("retry_on_eintr repeats for signals and nothing else") {
    int calls = 0;
    const auto failing = [&](int error) {
        return [&calls, error] { return ++calls < 3 ? fail(EINTR) : fail(error); };
    };
    CHECK(sys::retry_on_eintr(failing(EAGAIN)) == -1);
    CHECK(errno == EAGAIN);
    CHECK(calls == 3);
    errno = EINTR;  // of an earlier call
    CHECK(sys::retry_on_eintr([&] { return ++calls; }) == 4);
}

TEST_CASE("no descriptor of the library takes the place of a standard stream that was closed") {
    const int child = ::fork();
    if (child == 0) {
        // Who prints to stderr must not reach a client.
        for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(stream);
        const int listening = sys::calls.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        ::bind(listening, reinterpret_cast<sockaddr*>(&address), size);
        ::listen(listening, 1);
        ::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size);
        const int client = sys::calls.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ::connect(client, reinterpret_cast<sockaddr*>(&address), size);
        std::array<int, 2> pair{-1, -1};
        sys::calls.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data());
        for (const int descriptor :
             {listening, client, pair[0], pair[1],
              sys::calls.accept4(listening, nullptr, nullptr, SOCK_CLOEXEC),
              sys::calls.eventfd(0, EFD_CLOEXEC), sys::calls.epoll_create1(EPOLL_CLOEXEC),
              sys::calls.timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC),
              sys::calls.pidfd_open(::getpid(), 0)}) {
            if (descriptor <= STDERR_FILENO || !is_close_on_exec(descriptor)) ::_exit(1);
        }
        for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
            if (is_open(stream)) ::_exit(2);
        }
        ::_exit(0);
    }
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}

TEST_CASE("a pair that finds no numbers above those of the standard streams is none") {
    const int child = ::fork();
    if (child == 0) {
        const int first_free = ::dup(STDIN_FILENO);
        ::close(first_free);
        ::close(STDIN_FILENO);
        // There is room for the two of a pair, and none for a copy of the first.
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = static_cast<rlim_t>(first_free) + 1;
        ::setrlimit(RLIMIT_NOFILE, &limit);
        std::array<int, 2> pair{-1, -1};
        const int result = sys::calls.socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data());
        const int error = errno;
        if (result != -1 || error != EMFILE) ::_exit(1);
        ::_exit(is_open(STDIN_FILENO) || is_open(first_free) ? 2 : 0);
    }
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}
