// SPDX-License-Identifier: MIT
// A client that is answered before it has sent everything gets the answer, and cannot stay for it.
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>

#include "request/lingering.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// Answers when more has come than it has read.
class Impatient : public StreamRequestHandler {
    void handle() override {
        if (rfile().readline().empty()) return;
        pollfd more{connection().fileno(), POLLIN, 0};
        ::poll(&more, 1, 20'000);
        wfile().write("too large,\n");
        wfile().write("try elsewhere\n");
    }
};
const std::string answer = "too large,\ntry elsewhere\n";

/// Sends `size` bytes, then reads to the end: neither may fail.
std::string upload(const Address& server, std::size_t size) {
    Socket client = connect(server);
    client.sendall("upload\n");
    client.sendall(std::string(size, 'x'));
    return receive_all(client);
}

template <template <class> class MixIn>
void check_upload() {
    const TimeLimit limit;
    TCPServer<Impatient, MixIn> server{any_port};
    ServingThread serving{server};
    for (int i = 0; i < 5; ++i) CHECK(upload(server.server_address(), 6'000'000) == answer);
}

template <template <class> class MixIn>
class RefusingServer : public TCPServer<EchoLines, MixIn> {
  public:
    RefusingServer()
        : TCPServer<EchoLines, MixIn>{any_port,
                                      {.max_connections = 1, .overload = Overload::close}} {}
    ~RefusingServer() override { this->server_close(); }

  private:
    void refuse_request(Socket& request, const Address&, RefuseCause) override {
        request.sendall("too large,\n");
        request.sendall("try elsewhere\n");
    }
};

template <template <class> class MixIn>
void check_refusal() {
    const TimeLimit limit;
    RefusingServer<MixIn> server;
    ServingThread serving{server};
    Socket only = connect(server.server_address());
    REQUIRE(ask(only, "x\n") == "x\n");
    for (int i = 0; i < 20; ++i) CHECK(upload(server.server_address(), 100'000) == answer);
    CHECK(ask(only, "y\n") == "y\n");
}

/// Whether the other end of a pair was closed: nothing can be sent to it.
bool is_gone(Socket& socket) {
    return error_of([&] { socket.sendall("x"); }) == EPIPE;
}

}  // namespace

TEST_CASE("a client that still sends gets the answer of its handler"){
    SECTION("synchronous"){check_upload<SynchronousMixIn>();
}
SECTION("threading") { check_upload<ThreadingMixIn>(); }
SECTION("forking") { check_upload<ForkingMixIn>(); }
SECTION("pool") { check_upload<ThreadPoolMixIn>(); }
SECTION("prefork") { check_upload<PreforkMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
SECTION("fiber") { check_upload<FiberMixIn>(); }
#endif
}

TEST_CASE("a client that is refused gets all of the refusal"){
    SECTION("threading"){check_refusal<ThreadingMixIn>();
}
SECTION("forking") { check_refusal<ForkingMixIn>(); }
SECTION("pool") { check_refusal<ThreadPoolMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
SECTION("fiber") { check_refusal<FiberMixIn>(); }
#endif
}

TEST_CASE("a client that never stops sending is closed, after so many bytes") {
    const TimeLimit limit;
    TCPServer<Impatient> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    client.sendall("upload\n");
    const std::string block(1'000'000, 'x');
    int blocks = 0;
    const int error = error_of([&] {
        for (; blocks < 1000; ++blocks) client.sendall(block);
    });
    CHECK((error == EPIPE || error == ECONNRESET));
    CHECK(blocks >= 5);
}

TEST_CASE("a client that sends nothing more, and stays, is closed in time") {
    const TimeLimit limit;
    TCPServer<Impatient> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    client.sendall("upload\n");
    client.sendall(std::string(100'000, 'x'));
    CHECK(receive_all(client) == answer);
    const Stopwatch watch;
    CHECK(eventually([&] { return error_of([&] { client.sendall("x"); }) != 0; }));
    CHECK(watch.elapsed() < detail::Lingering::longest + 5s);
}

TEST_CASE("the end of the server is the end of those that linger") {
    const TimeLimit limit;
    ThreadingTCPServer<Impatient> server{any_port};
    Socket client;
    {
        ServingThread serving{server};
        client = connect(server.server_address());
        client.sendall("upload\n" + std::string(100'000, 'x'));
        REQUIRE(receive_all(client) == answer);
    }
    server.server_close();
    const Stopwatch watch;
    // The first one makes the other side's reset, which the next one meets.
    CHECK(eventually([&] { return error_of([&] { client.sendall("x"); }) != 0; }));
    CHECK(watch.elapsed() < detail::Lingering::longest);
}

TEST_CASE("only so many linger at a time: the oldest goes") {
    detail::Lingering lingering;
    std::vector<Pair> pairs;
    for (std::size_t i = 0; i <= detail::Lingering::most; ++i) {
        pairs.push_back(unix_pair());
        lingering.take(pairs.back().near.detach());
    }
    CHECK(is_gone(pairs.front().far));
    for (std::size_t i = 1; i < pairs.size(); ++i) CHECK_FALSE(is_gone(pairs[i].far));
    // Who has ended its side is closed in the next turn; the others have sent a byte.
    pairs.back().far.close();
    lingering.look_after();
    CHECK(lingering.next_end() > std::chrono::steady_clock::now());
    lingering.end();
    CHECK(lingering.next_end() == detail::never);
    for (std::size_t i = 1; i + 1 < pairs.size(); ++i) CHECK(is_gone(pairs[i].far));
}
