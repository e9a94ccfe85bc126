// SPDX-License-Identifier: MIT
// Connections of random clients under every policy.
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

/// Does what the first letter of each line says.
class Obedient : public StreamRequestHandler {
    void handle() override {
        for (const std::string_view line : rfile()) {
            if (line.front() == 't') throw std::runtime_error("told to");
            if (line.front() == 'l') return;  // leaves, whatever else there is to read
            if (line.front() == 'm') wfile().write(std::string(1'000'000, 'x'));
            if (line.front() == 'c') std::this_thread::sleep_for(3ms);  // computes
            wfile().write(line);
        }
    }
};

/// One client: some lines, of which it may not wait for the answers, and one of several ends.
void visit(const Address& address, Random& random) {
    static constexpr std::array<std::string_view, 5> lines{"echo\n", "throw\n", "leave\n", "much\n",
                                                           "compute\n"};
    Socket client = create_connection(address, SocketType::stream, 400ms);
    for (int left = random.below(4); left > 0; --left) {
        if (random.once_in(40)) client.sendall(std::string(70'000, 'y'));  // no end of line
        client.sendall(lines[static_cast<std::size_t>(random.below(lines.size()))]);
        if (!random.once_in(3)) client.recv(4096);
    }
    if (random.once_in(4)) {
        reset(client);
    } else if (random.once_in(3)) {
        client.shutdown(ShutdownHow::write);
        read_to_end(client);
    } else if (random.once_in(6)) {
        client.recv(1);  // silent for as long as it has patience
    }
}

template <template <class> class MixIn>
void check(auto set_up) {
    check_random_clients<TCPServer<Obedient, MixIn>>(any_port, visit, set_up);
}

}  // namespace

TEST_CASE("random clients: synchronous") { check<SynchronousMixIn>(nothing); }
TEST_CASE("random clients: threading") { check<ThreadingMixIn>(nothing); }
TEST_CASE("random clients: pool") { check<ThreadPoolMixIn>(small_pool); }
TEST_CASE("random clients: forking") { check<ForkingMixIn>(few_children); }
TEST_CASE("random clients: prefork") { check<PreforkMixIn>(few_workers); }
TEST_CASE("random clients: prefork with threads") {
    check<PreforkOf<ThreadingMixIn>::MixIn>(few_workers);
}
TEST_CASE("random clients: prefork with a pool") {
    check<PreforkOf<ThreadPoolMixIn>::MixIn>([](auto& server, Random& random) {
        few_workers(server, random);
        small_pool(server, random);
    });
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("random clients: fibers") { check<FiberMixIn>(one_or_two_workers); }
TEST_CASE("random clients: prefork with fibers") {
    using Base = TCPServer<Obedient, PreforkOf<FiberMixIn>::MixIn>;
    check<PreforkOf<FiberMixIn>::MixIn>([](CountingServer<Base>& server, Random& random) {
        few_workers(server, random);
        server.FiberMixIn::workers = 1;  // threads in each process
    });
}
#endif
