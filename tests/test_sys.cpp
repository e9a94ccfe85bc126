// SPDX-License-Identifier: MIT
#include "sys.hpp"

#include <cstring>

#include "catch.hpp"
#include "connected_sockets.hpp"
#include "scripted_sys.hpp"

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
