// SPDX-License-Identifier: MIT
// Descriptors, threads, children, zombies and memory: as many after 200 connections as before,
// however they ended, under each policy.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <malloc.h>
#include <sys/socket.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

class Handler : public StreamRequestHandler {
    void setup() override {
        timeout = patience;  // a child that waits for ever would outlive a test that failed
        StreamRequestHandler::setup();
    }
    void handle() override {
        const std::string line{rfile().readline()};
        if (line == "fail\n") throw std::runtime_error("planned");
        wfile().write(line);
        if (line == "write\n") wfile().write(std::string(1'000'000, 'x'));
    }
};

template <template <class> class MixIn>
class Server : public TCPServer<Handler, MixIn> {
  public:
    Server() : TCPServer<Handler, MixIn>{{"127.0.0.1", 0}} {}
    ~Server() override { this->server_close(); }

  protected:
    bool verify_request(const Socket&, const Address&) override { return ++count_ % 10 != 0; }
    void handle_error(Socket&, const Address&, std::exception_ptr) override {}

  private:
    int count_ = 0;  // of the serving thread
};

/// One client of each kind in turn: served, failing, silent, gone, reset, not reading.
void visit(const Address& address, int number, bool forks) {
    Socket client = connect(address);
    try {
        switch (number % 6) {
            case 0:
                ask(client, "served\n");
                break;
            case 1:
                client.sendall("fail\n");
                read_to_end(client);
                break;
            case 2:
                client.shutdown(ShutdownHow::write);
                read_to_end(client);
                break;
            case 3:
                break;
            case 4:
                reset(client);
                break;
            default:
                client.sendall("write\n");
                client.recv(1);
        }
    } catch (const std::system_error&) {
        // One in ten is not verified: its connection ends while it speaks.
    }
    // Children have copies of this end: closing it would tell them nothing.
    if (forks) ::shutdown(client.fileno(), SHUT_RDWR);
}

/// Bytes that malloc has given out, in all threads.
std::size_t memory_in_use() {
    // mallinfo2() knows nothing of the arenas of other threads.
    char* text = nullptr;
    std::size_t size = 0;
    std::FILE* file = ::open_memstream(&text, &size);
    ::malloc_info(0, file);
    std::fclose(file);
    const std::string info{text, size};
    std::free(text);
    // The last element of each kind is the total.
    const auto value = [&](const char* element) {
        const char* attribute = "size=\"";
        const std::size_t place = info.find(attribute, info.rfind(element));
        REQUIRE(place != std::string::npos);
        return std::stoul(info.substr(place + std::strlen(attribute)));
    };
    // glibc 2.43 has no fast bins, and no total of them.
    const char* fast = "<total type=\"fast\"";
    return value("<system type=\"current\"") - value("<total type=\"rest\"") -
           (info.find(fast) == std::string::npos ? 0 : value(fast));
}

template <template <class> class MixIn>
void check_nothing_is_left() {
    const TimeLimit limit;
    const Counts before;
    {
        Server<MixIn> server;
        std::optional<ServingThread> serving;
        serving.emplace(server);
        ask(server.server_address(), "served\n");
        constexpr bool forks = requires { server.active_children(); }
        || requires { server.worker_pids(); };
        const auto visit_all = [&] {
            for (int i = 0; i < 200; ++i) visit(server.server_address(), i, forks);
            CHECK(eventually([&] { return server.statistics().active == 0; }));
        };
        visit_all();
        // What each connection left would show in every round, what a thread keeps for later in
        // one.
        std::size_t memory = memory_in_use();
        std::size_t least_growth = memory;
        for (int round = 0; round < 3; ++round) {
            visit_all();
            const std::size_t now = memory_in_use();
            least_growth = std::min(least_growth, now - std::min(now, memory));
            memory = now;
        }
        CHECK(least_growth < std::size_t{200} * 16);
        serving.reset();
        server.server_close();
        CHECK(eventually([&] { return thread_count() == before.threads; }));
    }
    CHECK(before.are_back());
}

}  // namespace

TEST_CASE("nothing is left of 200 connections under SynchronousMixIn") {
    check_nothing_is_left<SynchronousMixIn>();
}
TEST_CASE("nothing is left of 200 connections under ThreadingMixIn") {
    check_nothing_is_left<ThreadingMixIn>();
}
TEST_CASE("nothing is left of 200 connections under ForkingMixIn") {
    check_nothing_is_left<ForkingMixIn>();
}
TEST_CASE("nothing is left of 200 connections under ThreadPoolMixIn") {
    check_nothing_is_left<ThreadPoolMixIn>();
}
TEST_CASE("nothing is left of 200 connections under PreforkMixIn") {
    check_nothing_is_left<PreforkMixIn>();
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("nothing is left of 200 connections under FiberMixIn") {
    check_nothing_is_left<FiberMixIn>();
}
#endif

TEST_CASE("nothing is left of a server that is never told to stop") {
    const TimeLimit limit;
    const Counts before;
    for (int i = 0; i < 50; ++i) {
        Server<ThreadingMixIn> server;
        std::thread thread{[&] { server.serve_forever(); }};
        ask(server.server_address(), "x\n");
        server.shutdown();
        thread.join();
    }  // only the destructor closes it
    CHECK(before.are_back());
}
