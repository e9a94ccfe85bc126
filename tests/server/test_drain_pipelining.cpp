// SPDX-License-Identifier: MIT
// Requests that have arrived while the one before them is served are answered in a drain, by every
// policy and whatever the handler receives with.
#include <atomic>
#include <future>
#include <string>
#include <thread>

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "support/catch.hpp"
#include "support/serving.hpp"
#ifdef SOCKETSERVER_TEST_FIBER
#    include "socketserver/fiber.hpp"
#endif

namespace {

using namespace socketserver;
using namespace socketserver::tests;

enum class Reads : unsigned char { lines, unbuffered_lines, strings, memory };

/// What handlers and test have in common.
struct Scene {
    Reads reads;
    std::promise<void> begun{};  ///< the slow request is being served
    std::promise<void> go_on{};  ///< it may end
    std::function<void()> wait_to_go_on{};
};

/// Echoes requests of two bytes, of which "s\n" lasts until the test lets it go on.
class EchoPairs : public StreamRequestHandler {
  public:
    explicit EchoPairs(Scene& scene) : scene_{scene} {
        if (scene.reads == Reads::unbuffered_lines) rbufsize = 0;
    }

  private:
    void handle() override {
        for (std::string pair = next(); !pair.empty(); pair = next()) {
            if (pair == "s\n") {
                scene_.begun.set_value();
                scene_.wait_to_go_on();
            }
            request().sendall(pair);
        }
    }
    std::string next() {
        std::string memory(2, '\0');
        switch (scene_.reads) {
            case Reads::lines:
            case Reads::unbuffered_lines:
                return std::string{rfile().readline()};
            case Reads::strings:
                return request().recv(2);
            case Reads::memory:
                memory.resize(request().recv_into(memory));
        }
        return memory;
    }
    Scene& scene_;
};

bool has_arrived(const Socket& socket) {
    return eventually([&] {
        int left = 0;
        return ::ioctl(socket.fileno(), SIOCOUTQ, &left) == 0 && left == 0;
    });
}

template <class Server>
void check_requests_behind_a_slow_one(Server& server, Scene& scene, int count) {
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    Socket other = connect(server.server_address());
    CHECK(ask(client, "1\n") == "1\n");
    // In one thread: then the handler of the first waits for its client.
    CHECK(ask(other, "2\n") == "2\n");
    client.sendall("s\n");
    scene.begun.get_future().wait();

    DrainReport report;
    std::thread draining{[&] { report = server.drain(20s); }};
    CHECK(eventually([&] { return server.is_draining(); }));
    std::string behind;
    for (int i = 0; i < count; ++i) behind += std::to_string(i % 10) + "\n";
    client.sendall(behind);
    CHECK(has_arrived(client));
    scene.go_on.set_value();
    CHECK(read_to_end(client) == "s\n" + behind);
    draining.join();
    serving.join();
    CHECK(report.finished + report.idle_closed == 2);
    CHECK(report.cancelled == 0);
}

Reads any_way() {
    return GENERATE(Reads::lines, Reads::unbuffered_lines, Reads::strings, Reads::memory);
}

}  // namespace

TEST_CASE("what has arrived behind a slow request is answered in a drain") {
    const TimeLimit limit;
    Scene scene{any_way()};
    scene.wait_to_go_on = [&] { scene.go_on.get_future().wait(); };
    const auto factory = [&] { return EchoPairs{scene}; };
    const int count = GENERATE(1, 200);
    SECTION("threading") {
        TCPServer<EchoPairs, ThreadingMixIn> server{any_port, {}, factory};
        check_requests_behind_a_slow_one(server, scene, count);
    }
    SECTION("pool") {
        TCPServer<EchoPairs, ThreadPoolMixIn> server{any_port, {}, factory};
        check_requests_behind_a_slow_one(server, scene, count);
    }
}

#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("what has arrived behind a slow request is answered in a drain: fiber") {
    const TimeLimit limit;
    Scene scene{any_way()};
    const int count = GENERATE(1, 200);
    const bool blocks_its_worker = GENERATE(false, true);
    // Blocked, the worker has not heard of what came meanwhile when the handler asks for it.
    scene.wait_to_go_on = [&] {
        const auto wait = [&] { scene.go_on.get_future().wait(); };
        blocks_its_worker ? wait() : run_blocking(wait);
    };
    TCPServer<EchoPairs, FiberMixIn> server{any_port, {}, [&] { return EchoPairs{scene}; }};
    server.workers = 1;
    check_requests_behind_a_slow_one(server, scene, count);
}
#endif
