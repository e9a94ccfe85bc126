// SPDX-License-Identifier: MIT
// Memory that runs out where fibers and their workers are made: it costs one request.
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/fiber_serving.hpp"
#include "support/in_child.hpp"
#include "support/replaced_new.hpp"
#include "support/sanitizers.hpp"

using namespace socketserver;
using namespace socketserver::tests;

namespace {

/// The allocation after so many fails; negative: none does.
std::atomic<int> allocations_until_failure{-1};
/// In the thread of a test nothing fails: it is the server's memory that runs out.
constinit thread_local bool is_client = false;
/// Whether calloc(3) fails in this thread.
[[maybe_unused]] constinit thread_local bool calloc_fails = false;

}  // namespace

void* socketserver::tests::allocate(std::size_t size) noexcept {
    if (!is_client && allocations_until_failure >= 0 && allocations_until_failure-- == 0)
        return nullptr;
    return std::malloc(size);
}

// With glibc; the sanitizers allocate in their own way.
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#    if !defined(__has_feature)
#        define CALLOC_CAN_FAIL
#    elif !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
#        define CALLOC_CAN_FAIL
#    endif
#endif
#ifdef CALLOC_CAN_FAIL
extern "C" void* __libc_calloc(std::size_t count, std::size_t size) noexcept;
extern "C" void* calloc(std::size_t count, std::size_t size) noexcept {
    return calloc_fails ? nullptr : __libc_calloc(count, size);
}
#endif

namespace {

/// Prints nothing: what is printed here is expected.
class Quiet : public FiberTCPServer<EchoLines> {
  public:
    Quiet() : FiberTCPServer<EchoLines>{any_port} { workers = 2; }
    ~Quiet() override { server_close(); }

  private:
    void handle_error(Socket&, const Address&, std::exception_ptr) override {}
    void handle_server_error(std::exception_ptr) override {}
};

/// True: it echoed. False: it was closed.
bool echoes(Socket& client) {
    try {
        return ask(client, "line\n") == "line\n";
    } catch (const TimeoutError&) {
        write_text("[nobody answers]");
        return false;
    } catch (const std::system_error&) {
        return false;
    }
}

}  // namespace

TEST_CASE("a worker that cannot be made for lack of memory costs one request") {
    const TimeLimit limit;
    int failed = 0;
    // Without a failure several times in a row: a first worker that is idle at that moment serves
    // the second client as well, and no other is made.
    for (int without_failure = 0; without_failure < 4;) {
        const ChildEnd end = in_child([&] {
            is_client = true;
            Quiet server;
            ServingThread serving{server};
            Socket first = connect(server.server_address());
            if (!echoes(first)) write_text("[the first]");
            Socket second = connect(server.server_address());
            allocations_until_failure = failed;  // while the second worker is made, among others
            echoes(second);
            const bool all = allocations_until_failure >= 0;
            allocations_until_failure = -1;
            std::vector<Socket> others;
            for (int i = 0; i < 4; ++i) {
                others.push_back(connect(server.server_address()));
                if (!echoes(others.back())) write_text("[another]");
            }
            if (!echoes(first)) write_text("[the first]");
            serving.stop();
            ::_exit(all ? 1 : 0);
        });
        INFO("after " << failed << " allocations: " << end.text);
        REQUIRE(end.text.empty());
        REQUIRE(WIFEXITED(end.status));
        if (end.exited_with(1)) {
            ++without_failure;
        } else {
            without_failure = 0;
            ++failed;
        }
    }
    CHECK(failed > 5);
}

TEST_CASE("serving that cannot begin for lack of memory throws") {
    const TimeLimit limit;
    int failed = 0;
    for (bool done = false; !done; ++failed) {
        const ChildEnd end = in_child([&] {
            Quiet server;
            server.report_blocking = 10s;
            bool thrown = false;
            allocations_until_failure = failed;
            try {
                server.shutdown();  // it ends as soon as it begins
                server.serve_forever();
            } catch (const std::bad_alloc&) {
                thrown = true;
            } catch (const std::system_error&) {
                thrown = true;
            }
            const bool all = allocations_until_failure >= 0;
            allocations_until_failure = -1;
            ::_exit(all && !thrown ? 1 : 0);
        });
        INFO("after " << failed << " allocations: " << end.text);
        CHECK(end.text.empty());
        CHECK(WIFEXITED(end.status));
        done = end.exited_with(1) || !WIFEXITED(end.status);
    }
    CHECK(failed > 3);
}

#ifdef CALLOC_CAN_FAIL
TEST_CASE("the first read of a thread needs no memory to be remembered") {
    const TimeLimit limit;
    const ChildEnd end = in_child([] {
        auto [one, other] = unix_pair();
        one.sendall("line\n");
        std::thread reading{[&, &other = other] {
            calloc_fails = true;
            const std::string line = other.recv(64);
            calloc_fails = false;
            if (line == "line\n") write_text("[read]");
        }};
        reading.join();
    });
    CHECK(end.text == "[read]");
    CHECK(end.exited_with(0));
}
#endif
