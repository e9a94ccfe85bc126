// SPDX-License-Identifier: MIT
// relay() where one side, or both, speak TLS.
#include <string>
#include <thread>

#include "socketserver/relay.hpp"
#include "socketserver/tls.hpp"
#include "support/carriers.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/tls_contexts.hpp"

using namespace socketserver;
using namespace socketserver::tests;

namespace {

/// A connection that speaks TLS.
Pair tls_pair(const Contexts& contexts) {
    Pair pair = tcp_pair();
    std::jthread client{[&] { start_tls(pair.far, contexts.client, "localhost"); }};
    start_tls(pair.near, contexts.server, {}, patience);
    return pair;
}

}  // namespace

TEST_CASE("relay between TLS and plain text, and between two that speak TLS") {
    const Contexts contexts;
    const bool both = GENERATE(false, true);
    const std::string much(1'000'000, 'x');
    Pair a = tls_pair(contexts);
    Pair b = both ? tls_pair(contexts) : tcp_pair();
    for (Socket* each : {&a.far, &b.far}) each->settimeout(patience);
    RelayResult result;
    std::string of_a;
    std::jthread receiving{[&] { of_a = receive_all(a.far); }};
    std::jthread sending{[&] {
        a.far.sendall(much);
        a.far.shutdown(ShutdownHow::write);
    }};
    std::jthread echoing{[&] {
        for (std::string part; !(part = b.far.recv(65536)).empty();) b.far.sendall(part);
        b.far.sendall("end");  // the other direction has ended
        b.far.shutdown(ShutdownHow::write);
    }};
    on_each_carrier([&] { result = relay(a.near, b.near); });
    receiving.join();
    CHECK(result == RelayResult{.a_to_b = much.size(), .b_to_a = much.size() + 3});
    CHECK(of_a == much + "end");
}

TEST_CASE("relay tells of an end of TLS that was not announced") {
    const Contexts contexts;
    Pair a = tls_pair(contexts);
    Pair b = tcp_pair();
    ::shutdown(a.far.fileno(), SHUT_WR);
    RelayResult result;
    on_each_carrier([&] { result = relay(a.near, b.near); });
    CHECK(result.end == RelayEnd::a_failed);
    CHECK(result.error);
    CHECK(result.a_to_b == 0);
}
