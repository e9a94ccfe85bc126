// SPDX-License-Identifier: MIT
// The n-th allocation of a session fails, for every n, under each policy. What cannot be done for
// lack of memory costs one request, never the server.
//
// A sample is tried; with SOCKETSERVER_TEST_ALL in the environment all are.
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/nth_failure.hpp"
#include "support/replaced_new.hpp"
#include "support/sanitizers.hpp"

void* socketserver::tests::allocate(std::size_t size) noexcept {
    return Fault::is_due() ? nullptr : std::malloc(size == 0 ? 1 : size);
}

/// Called to note that a thread_local object must be destroyed at the end of the thread: the C
/// library ends the program if it has no memory for that.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" int __cxa_thread_atexit_impl(void (*destroy)(void*), void* object, void* library);
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" int __cxa_thread_atexit(void (*destroy)(void*), void* object, void* library) noexcept {
    if (socketserver::tests::Fault::is_armed()) socketserver::tests::Fault::noted_destructors++;
    return __cxa_thread_atexit_impl(destroy, object, library);
}

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// Says of its clients what they are called, by names that do not fit into a string without memory.
class NamesClients : public TCPServer<FaultHandler> {
  public:
    using TCPServer::TCPServer;

  private:
    std::optional<std::pair<Socket, Address>> get_request() override {
        auto request = TCPServer::get_request();
        if (request) {
            request->second = std::move(names_.back());
            names_.pop_back();
        }
        return request;
    }

    // Made before an allocation may fail: a client that get_request() loses is not counted.
    std::vector<Address> names_{100, Address{"client-with-a-long-name.example", 1}};
};

/// One allocation, and then as many as the ways of reporting the first failure need.
Attack next_attack() {
    Attack attack;
    attack.burst = GENERATE(1L, 12L);
    return attack;
}

template <class Server>
void attack_datagrams(const Address& address) {
    attack_each(
        next_attack(), [&] { return std::make_unique<Attacked<Server>>(address); },
        [](auto& server) { datagram_session(server); },
        [](auto& server) {
            Socket client{server.server_address(), SocketType::datagram};
            client.settimeout(patience);
            if (server.server_address().is_unix()) client.bind("@" + own_name("next"));
            client.connect(server.server_address());
            CHECK(ask(client, long_line) == long_line);
        });
}

}  // namespace

TEST_CASE("an allocation fails in a synchronous server") {
    const TimeLimit limit;
    attack_each(
        next_attack(), make_tcp<SynchronousMixIn>, [](auto& server) { stream_session(server); },
        [](auto& server) { serves(server); });
}

TEST_CASE("an allocation fails in a threading server") {
    const TimeLimit limit;
    attack_each(
        next_attack(), make_tcp<ThreadingMixIn>, [](auto& server) { crowded_session(server); },
        [](auto& server) { serves(server); });
}

TEST_CASE("an allocation fails in a thread pool whose threads are all busy") {
    const TimeLimit limit;
    const std::size_t queue = GENERATE(0U, 1U);
    CAPTURE(queue);
    attack_each(
        next_attack(),
        [queue] {
            auto server = make_tcp<ThreadPoolMixIn>();
            server->max_threads = 3;
            server->max_queue = queue;
            return server;
        },
        [](auto& server) { crowded_session(server); }, [](auto& server) { serves(server); });
}

TEST_CASE("an allocation fails in a server with limits for each address") {
    const TimeLimit limit;
    attack_each(
        next_attack(),
        [] {
            return std::make_unique<Attacked<TCPServer<FaultHandler, ThreadingMixIn>>>(
                Address{"127.0.0.1", 0},
                ServerOptions{.max_connections = 50, .max_connections_per_address = 40});
        },
        [](auto& server) { stream_session(server); }, [](auto& server) { serves(server); });
}

TEST_CASE("an allocation fails in a server whose clients have long names") {
    const TimeLimit limit;
    attack_each(
        next_attack(), [] { return std::make_unique<Attacked<NamesClients>>(any_port); },
        [](auto& server) { stream_session(server); }, [](auto& server) { serves(server); });
}

TEST_CASE("an allocation fails in a server of Unix datagrams with long names") {
    const TimeLimit limit;
    attack_datagrams<UnixDatagramServer<FaultDatagramHandler>>(
        Address{"@" + own_name("server with a long name")});
}

TEST_CASE("an allocation fails in a server of Unix datagrams with a pool") {
    const TimeLimit limit;
    attack_datagrams<UnixDatagramServer<FaultDatagramHandler, ThreadPoolMixIn>>(
        Address{"@" + own_name("pool with a long name")});
}

TEST_CASE("an allocation fails in the parent of a forking server") {
    if (!may_fork_beside_allocating_threads) return;
    const TimeLimit limit;
    attack_each(
        next_attack(), make_tcp<ForkingMixIn>, [](auto& server) { stream_session(server); },
        [](auto& server) { serves(server); });
}

TEST_CASE("an allocation fails in the parent of worker processes, one of which dies") {
    if (!may_fork_beside_allocating_threads) return;
    const TimeLimit limit;
    attack_each(
        next_attack(),
        [] {
            auto server = make_tcp<PreforkMixIn>();
            server->workers = 2;
            return server;
        },
        [](auto& server) {
            visit(server.server_address(), "end\n");
            visit(server.server_address(), long_line);
            // Another one has been forked, or its fork has failed and is tried again.
            CHECK(has_workers(server, 2));
        },
        [](auto& server) { serves(server); });
}

#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("an allocation fails in a fiber server") {
    const TimeLimit limit;
    const unsigned workers = GENERATE(1U, 3U);
    CAPTURE(workers);
    attack_each(
        next_attack(),
        [&] {
            auto server = make_tcp<FiberMixIn>();
            server->workers = workers;
            return server;
        },
        [](auto& server) { crowded_session(server); }, [](auto& server) { serves(server); });
}
#endif
