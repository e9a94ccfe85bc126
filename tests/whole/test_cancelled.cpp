// SPDX-License-Identifier: MIT
// A handler that goes on after errors, as one with Python's `except OSError` in a loop does, ends
// with its server all the same.
#include <atomic>
#include <string>
#include <system_error>

#include "socketserver/socketserver.hpp"
#include "support/catch.hpp"
#include "support/serving.hpp"
#ifdef SOCKETSERVER_TEST_FIBER
#    include "socketserver/fiber.hpp"
#endif

using namespace socketserver;
using namespace socketserver::tests;

namespace {

std::atomic<int> errors{0};

/// Takes a timeout, or any other error, for a reason to try again.
class Stubborn : public StreamRequestHandler {
  public:
    Stubborn() { timeout = 1ms; }

  private:
    void handle() override {
        wfile().write("hello\n");
        for (;;) {
            try {
                if (rfile().readline().empty()) return;
            } catch (const std::system_error&) {
                ++errors;
            }
        }
    }
};

/// Its client says nothing, so that every operation of the handler fails.
template <class Server, class End>
void check_end(End end) {
    const TimeLimit limit;
    errors = 0;
    Server server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(client.recv(100) == "hello\n");
    CHECK(eventually([] { return errors > 3; }));
    end(server);
    serving.stop();
    server.server_close();  // waits for the handler
    CHECK(read_to_end(client).empty());
    CHECK(server.statistics().active == 0);
}

/// With no time at all: the requests are broken off.
constexpr auto by_drain = [](auto& server) { server.drain(0s); };

}  // namespace

TEMPLATE_TEST_CASE("a handler that catches system errors ends with the time of a drain", "",
                   TCPServer<Stubborn>, ThreadingTCPServer<Stubborn>,
                   ThreadPoolTCPServer<Stubborn>) {
    check_end<TestType>(by_drain);
}

#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("a handler that catches system errors ends with the time of a drain: fibers") {
    check_end<FiberTCPServer<Stubborn>>(by_drain);
}
TEST_CASE("a handler that catches system errors ends with a stop: fibers") {
    check_end<FiberTCPServer<Stubborn>>([](auto& server) { server.shutdown(); });
}
#endif
