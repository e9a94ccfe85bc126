// SPDX-License-Identifier: MIT
// The n-th pthread_create(3), poll(2) or epoll_ctl(2) of a session fails: one request at most is
// lost, never the server.
//
// A sample is tried; with SOCKETSERVER_TEST_ALL in the environment all are.
#include <atomic>
#include <cerrno>
#include <exception>
#include <memory>
#include <thread>

#include <sys/epoll.h>

#include "support/nth_failure.hpp"
#include "support/scripted_sys.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

auto make_pool() {
    auto server = make_tcp<ThreadPoolMixIn>();
    server->max_threads = 4;
    return server;
}

/// @param result what the call then returns; errno is `error`.
template <auto Call>
void attack_call(int error, const auto& make, const auto& session, int result = -1) {
    const Scripted<Call> script{[error, result](auto... arguments) {
        if (!Fault::is_due()) return (detail::sys::kernel.*Call)(arguments...);
        errno = error;
        return result;
    }};
    Attack attack;
    attack.burst = GENERATE(1L, 5L);
    attack_each(attack, make, session, [](auto& server) { serves(server); });
}

constexpr auto stream = [](auto& server) { stream_session(server); };
constexpr auto crowded = [](auto& server) { crowded_session(server); };

}  // namespace

TEST_CASE("a thread cannot be created") {
    const TimeLimit limit;
    SECTION("by a threading server") {
        attack_call<&Calls::pthread_create>(EAGAIN, make_tcp<ThreadingMixIn>, crowded, EAGAIN);
    }
    SECTION("by a pool") {
        attack_call<&Calls::pthread_create>(EAGAIN, make_pool, crowded, EAGAIN);
    }
}

TEST_CASE("poll(2) fails") {
    const TimeLimit limit;
    const int error = GENERATE(ENOMEM, EAGAIN, EPERM);
    CAPTURE(error);
    SECTION("in a synchronous server") {
        attack_call<&Calls::poll>(error, make_tcp<SynchronousMixIn>, stream);
    }
    SECTION("in a threading server") {
        attack_call<&Calls::poll>(error, make_tcp<ThreadingMixIn>, crowded);
    }
    SECTION("in a pool") { attack_call<&Calls::poll>(error, make_pool, crowded); }
}

#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("epoll_ctl(2) fails in a fiber server") {
    const TimeLimit limit;
    const int error = GENERATE(ENOMEM, ENOSPC);
    const unsigned workers = GENERATE(1U, 3U);
    CAPTURE(error, workers);
    attack_call<&Calls::epoll_ctl>(
        error,
        [&] {
            auto server = make_tcp<FiberMixIn>();
            server->workers = workers;
            return server;
        },
        crowded);
}

TEST_CASE("a fiber that a worker waits for at its end is not cut off when waiting fails") {
    const TimeLimit limit;
    std::atomic<bool> is_accepted{false};  // in the worker
    const Shared<std::atomic<int>> failures;
    const Scripted<&Calls::accept4> accept{[&](auto... arguments) {
        const int descriptor = detail::sys::kernel.accept4(arguments...);
        if (descriptor != -1) is_accepted = true;
        return descriptor;
    }};
    // Of the loop's own descriptors only: the connection is no event descriptor.
    const Scripted<&Calls::epoll_ctl> control{[&](int epoll, int operation, int fd, auto* event) {
        int type = 0;
        socklen_t size = sizeof type;
        const bool is_socket = ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
        if (is_accepted && !is_socket && operation != EPOLL_CTL_DEL && *failures < 3) {
            ++*failures;
            return fail(ENOMEM);
        }
        return detail::sys::kernel.epoll_ctl(epoll, operation, fd, event);
    }};
    TCPServer<FaultHandler, PreforkOf<FiberMixIn>::MixIn> server{any_port};
    server.workers = 1;
    server.max_requests = 1;  // the worker ends after it
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    REQUIRE(eventually([&] { return *failures == 3; }));
    CHECK(ask(client, long_line) == long_line);
    client.close();
    serving.stop();
    CHECK_FALSE(serving.error());
}
#endif

TEST_CASE("poll(2) that will always fail ends serve_forever() with its error") {
    const TimeLimit limit;
    const Scripted<&Calls::poll> script{[](auto...) { return fail(EFAULT); }};
    TCPServer<FaultHandler> server{any_port};
    CHECK(error_of([&] { server.serve_forever(); }) == EFAULT);
}
