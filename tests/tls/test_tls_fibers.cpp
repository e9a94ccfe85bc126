// SPDX-License-Identifier: MIT
// TLS in fibers: what was decrypted wakes nobody by itself, and both directions of a connection may
// belong to different workers.
#include <atomic>
#include <string>
#include <thread>

#include "socketserver/tls_server.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/fiber_serving.hpp"
#include "support/tls_contexts.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

}  // namespace

TEST_CASE("a fiber finds what was decrypted before, however it receives") {
    const TimeLimit limit;
    const Contexts contexts;
    const int way = GENERATE(0, 1, 2);
    std::function<void(Calling&)> echo = [way](Calling& handler) {
        for (;;) {
            std::string part(4, '\0');
            if (way == 0) {
                part = handler.request().recv(4);
            } else if (way == 1) {
                part.resize(handler.request().recv_into(part));
            } else {
                part = handler.rfile().readline();
            }
            if (part.empty()) return;
            handler.wfile().write(part);
        }
    };
    TLSServer<CallingServer> server{contexts.server, echo};
    ServingThread serving{server};
    Socket client = contexts.connect(server.server_address());
    CHECK(ask(client, "one\ntwo\nthr\n") == "one\ntwo\nthr\n");  // one record
    client.sendall("abc\n");
    client.sendall("def\n");  // another one, which may come at the same time
    std::string reply;
    while (reply.size() < 8) reply += client.recv(100);
    CHECK(reply == "abc\ndef\n");
    client.shutdown(ShutdownHow::write);
    CHECK(client.recv(100).empty());
    serving.stop();
    CHECK(server.errors().empty());
}

TEST_CASE("a fiber of one worker receives while one of another sends, much and at once") {
    const TimeLimit limit{110};
    const Contexts contexts;
    const std::size_t rounds = may_fork_beside_allocating_threads ? 100 : 10;
    const std::string block(std::size_t{1} << 20, 'x');
    auto [near, far] = tcp_pair();
    {
        std::jthread client{[&, &far = far] { start_tls(far, contexts.client, "localhost"); }};
        start_tls(near, contexts.server, {}, patience);
    }
    near.settimeout(patience);
    far.settimeout(patience);
    std::atomic<std::size_t> received_by_fiber{0};
    CallingServer server{[&, &near = near](Calling& handler) {
                             if (handler.rfile().readline() == "send\n") {
                                 for (std::size_t i = 0; i < rounds; ++i) near.sendall(block);
                             } else {
                                 while (received_by_fiber < rounds * block.size()) {
                                     received_by_fiber += near.recv(65536).size();
                                 }
                             }
                             handler.wfile().write("done\n");
                         },
                         2};
    ServingThread serving{server};
    // In turn to the one worker and to the other.
    Socket one = connect(server.server_address());
    Socket other = connect(server.server_address());
    one.sendall("send\n");
    other.sendall("receive\n");
    std::size_t received = 0;
    {
        std::jthread sender{[&, &far = far] {
            for (std::size_t i = 0; i < rounds; ++i) far.sendall(block);
        }};
        while (received < rounds * block.size()) received += far.recv(65536).size();
    }
    CHECK(read_to_end(one) == "done\n");
    CHECK(read_to_end(other) == "done\n");
    CHECK(received_by_fiber == rounds * block.size());
    serving.stop();
    CHECK(server.errors().empty());
}

TEST_CASE("a fiber that waits for a handshake is ended by a stop") {
    const TimeLimit limit;
    const Contexts contexts;
    TLSServer<CallingServer> server{contexts.server, [](Calling&) {}};
    server.handshake_timeout = patience;
    ServingThread serving{server};
    const Socket silent = connect(server.server_address());
    CHECK(eventually([&] { return server.statistics().active == 1; }));
    const Stopwatch watch;
    serving.stop();
    CHECK(watch.elapsed() < patience / 2);
    CHECK(eventually([&] { return server.statistics().closed(CloseReason::cancelled) == 1; }));
    CHECK(server.errors() == std::vector<std::string>{"cancelled"});
}
