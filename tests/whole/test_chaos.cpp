// SPDX-License-Identifier: MIT
// Clients behind a network of the worst kind, under every policy, with and without TLS: every byte
// that a client gets is right, one that was only delayed gets all of them, and nothing is left
// over.
#include "support/chaos_proxy.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support/policies.hpp"
#include "support/quiet.hpp"
#ifdef SOCKETSERVER_TEST_TLS
#    include "socketserver/tls_server.hpp"
#    include "support/tls_contexts.hpp"
#endif

namespace {

using namespace socketserver;
using namespace socketserver::tests;

using Connect = std::function<Socket(const Address&)>;

/// How a conversation came to its end.
struct Outcome {
    bool is_right = true;  // what came is the beginning of what was sent
    bool is_complete = false;
    bool is_ended = false;  // in order, as far as the client can see
};

/// Sends lines in pieces of any size, ends, and receives what comes back, now and then in between.
Outcome talk(Socket& client, const std::string& text, Random& random) {
    Outcome outcome;
    std::string got;
    const auto receive = [&] {
        const std::string part = client.recv(1 + static_cast<std::size_t>(random.below(5000)));
        got += part;
        return !part.empty();
    };
    try {
        std::size_t sent = 0;
        while (sent < text.size()) {
            const std::size_t size = 1 + static_cast<std::size_t>(random.below(700));
            const std::string piece = text.substr(sent, size);
            client.sendall(piece);
            sent += piece.size();
            // A whole line behind what has come is still to come back.
            if (random.once_in(3) && text.rfind('\n', sent - 1) != std::string::npos &&
                got.size() < text.rfind('\n', sent - 1) + 1 && !receive()) {
                break;
            }
        }
        client.shutdown(ShutdownHow::write);
        while (receive()) continue;
        outcome.is_ended = true;
    } catch (const std::system_error&) {
        // A reset, or an end that was not announced. What has come counts.
    }
    outcome.is_right = text.starts_with(got);
    outcome.is_complete = got == text;
    return outcome;
}

std::string lines(Random& random) {
    std::string text;
    const int count = random.below(40);
    for (int i = 0; i < count; ++i) {
        text += std::to_string(random.below(1'000'000)) +
                std::string(static_cast<std::size_t>(random.below(150)), 'x') + '\n';
    }
    return text;
}

/// What is wrong; empty if nothing is.
std::string visit(const ChaosProxy& proxy, const Connect& connect, bool announces_end,
                  Random& random) {
    const std::string text = lines(random);
    const bool is_gentle = random.once_in(2);
    Outcome outcome;
    try {
        Socket client = connect(is_gentle ? proxy.gentle_address() : proxy.cruel_address());
        outcome = talk(client, text, random);
    } catch (const std::system_error& error) {  // the handshake
        if (is_gentle) return std::string{"no connection: "} + error.what();
    }
    if (!outcome.is_right) return "other bytes than were sent";
    if (is_gentle && !outcome.is_complete) return "not all bytes, although none was taken away";
    if (announces_end && outcome.is_ended && !outcome.is_complete) return "an end that was none";
    return {};
}

/// The clients and the proxy, in a process of their own: that of the server may fork.
/// noexcept: an exception would go on in the test's own code, a second time.
void run_clients(const Address& address, const Connect& connect, bool announces_end,
                 unsigned seed) noexcept {
    std::atomic<int> failures{0};
    {
        ChaosProxy proxy{address, seed};
        std::vector<std::jthread> threads;
        for (unsigned i = 0; i < 5; ++i) {
            threads.emplace_back([&, random = Random{seed * 100 + i}]() mutable {
                for (int times = 0; times < 5; ++times) {
                    const std::string wrong = visit(proxy, connect, announces_end, random);
                    if (wrong.empty()) continue;
                    ++failures;
                    std::fprintf(stderr, "chaos, seed %u: %s\n", seed, wrong.c_str());
                }
            });
        }
    }
    ::_exit(failures == 0 ? 0 : 1);
}

template <class Server>
void check_chaos(const Connect& connect, bool announces_end, auto&&... arguments) {
    const unsigned seed = first_seed();
    CAPTURE(seed);
    const Counts before;
    {
        Quiet<Server> server{arguments...};
        const pid_t clients = ::fork();
        if (clients == 0) {
            ::close(server.fileno());
            run_clients(server.server_address(), connect, announces_end, seed);
        }
        REQUIRE(clients != -1);
        ServingThread serving{server};
        int status = -1;
        CHECK(::waitpid(clients, &status, 0) == clients);
        CHECK(status == 0);
        // What was reset while it was served is over when its handler sees it.
        CHECK(eventually([&] { return server.statistics().active == 0; }));
        server.server_close();
        serving.stop();
        const Statistics statistics = server.statistics();
        CHECK(statistics.accepted > 0);
        CHECK(statistics.accepted == statistics.closed() + statistics.refused());
    }
    CHECK(before.are_back());
}

}  // namespace

TEST_CASE("chaos between clients and servers") {
    under_every_policy([]<template <class> class MixIn>() {
        check_chaos<TCPServer<EchoLines, MixIn>>(
            [](const Address& address) { return connect(address); }, false, any_port);
    });
}

#ifdef SOCKETSERVER_TEST_TLS
TEST_CASE("chaos between clients and servers of TLS") {
    under_every_policy([]<template <class> class MixIn>() {
        const Contexts contexts;
        check_chaos<TLSServer<TCPServer<EchoLines, MixIn>>>(
            [&](const Address& address) { return contexts.connect(address); }, true,
            contexts.server, any_port);
    });
}
#endif
