// SPDX-License-Identifier: MIT
// Datagrams of random clients under every policy.
#include <array>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/random_serving.hpp"
#include "support/serving.hpp"
#ifdef SOCKETSERVER_TEST_FIBER
#    include "socketserver/fiber.hpp"
#endif

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// Does what the first letter says.
class Obedient : public DatagramRequestHandler {
    void handle() override {
        const std::string_view line = rfile().readline();
        if (line.empty()) return;
        if (line.front() == 't') throw std::runtime_error("told to");
        if (line.front() == 's') return;                                   // is silent
        if (line.front() == 'm') wfile().write(std::string(70'000, 'x'));  // more than one can hold
        if (line.front() == 'c') std::this_thread::sleep_for(3ms);         // computes
        wfile().write(line);
    }
};

/// A client that, if it is one of a Unix server, has no address to answer to.
Socket unbound(const Address& address) {
    Socket client{address, SocketType::datagram};
    client.connect(address);
    return client;
}

/// Some datagrams, of which the client may not wait for the answers.
void visit(const Address& address, Random& random) {
    static constexpr std::array<std::string_view, 6> texts{"echo", "throw",   "silence",
                                                           "much", "compute", ""};
    Socket client =
        random.once_in(5) ? unbound(address) : create_connection(address, SocketType::datagram);
    client.settimeout(20ms);
    for (int left = random.below(8); left > 0; --left) {
        std::string text{texts[static_cast<std::size_t>(random.below(texts.size()))]};
        if (random.once_in(4)) text.append(static_cast<std::size_t>(random.below(60'000)), '.');
        client.send(text);
        if (random.once_in(2)) client.recv(65536);
    }
}

template <template <class> class MixIn>
void check(auto set_up) {
    SECTION("UDP") { check_random_clients<UDPServer<Obedient, MixIn>>(any_port, visit, set_up); }
    SECTION("Unix") {
        check_random_clients<UnixDatagramServer<Obedient, MixIn>>("@" + own_name("datagrams"),
                                                                  visit, set_up);
    }
}

}  // namespace

TEST_CASE("random datagrams: synchronous") { check<SynchronousMixIn>(nothing); }
TEST_CASE("random datagrams: threading") { check<ThreadingMixIn>(nothing); }
TEST_CASE("random datagrams: pool") { check<ThreadPoolMixIn>(small_pool); }
TEST_CASE("random datagrams: forking") { check<ForkingMixIn>(few_children); }
TEST_CASE("random datagrams: prefork") { check<PreforkMixIn>(few_workers); }
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("random datagrams: fibers") { check<FiberMixIn>(one_or_two_workers); }
#endif
