// SPDX-License-Identifier: MIT
// What a program may override of a server beside the hooks: shutdown(), server_close() and
// get_request(), under every policy.
#include <atomic>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "socketserver/socketserver.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/policies.hpp"
#include "support/serving.hpp"

using namespace socketserver;
using namespace socketserver::tests;

namespace {

struct Calls {
    std::atomic<int> shutdown{0};
    std::atomic<int> close{0};
};

/// Tells its server to stop.
class Stopping : public StreamRequestHandler {
    void handle() override {
        wfile().write(rfile().readline());
        server().shutdown();
    }
};

template <template <class> class MixIn>
class Counting : public TCPServer<Stopping, MixIn> {
    using Base = TCPServer<Stopping, MixIn>;

  public:
    explicit Counting(Calls& calls) : Base{any_port}, calls_{calls} {}
    ~Counting() override { Counting::server_close(); }

    void shutdown() override {
        ++calls_.shutdown;
        Base::shutdown();
    }
    void server_close() override {
        ++calls_.close;
        Base::server_close();
    }

  private:
    Calls& calls_;
};

/// Gives each client to nobody, and serves another connection for it.
template <template <class> class MixIn>
class Exchanging : public TCPServer<EchoLines, MixIn> {
    using Base = TCPServer<EchoLines, MixIn>;

  public:
    Exchanging() : Base{any_port} {}
    ~Exchanging() override { this->server_close(); }

    void put(Socket socket) { sockets_.push_back(std::move(socket)); }
    std::optional<std::pair<Socket, Address>> get_request() override {
        auto request = Base::get_request();
        if (!request || sockets_.empty()) return {};
        Socket other = std::move(sockets_.front());
        sockets_.pop_front();
        return {{std::move(other), Address{"192.0.2.1", 7}}};
    }

  private:
    std::deque<Socket> sockets_;
};

}  // namespace

TEST_CASE("an override of shutdown() is called by handlers, and one of server_close()") {
    under_every_policy([]<template <class> class MixIn>() {
        const Shared<Calls> calls;
        {
            Counting<MixIn> server{*calls};
            ServerBase& base = server;
            ServingThread serving{base};
            CHECK(ask(server.server_address(), "stop\n") == "stop\n");
            serving.join();
            CHECK_FALSE(serving.error());
            CHECK(calls->shutdown == 1);
            CHECK(calls->close == 0);
            base.server_close();
            CHECK(calls->close == 1);
        }
        CHECK(calls->close == 2);  // by the destructor
    });
}

TEST_CASE("get_request() may return any socket") {
    under_every_policy([]<template <class> class MixIn>() {
        Exchanging<MixIn> server;
        Pair local = unix_pair();
        Pair tcp = tcp_pair();
        server.put(std::move(local.near));
        server.put(std::move(tcp.near));
        if constexpr (requires { server.workers; }) server.workers = 1;
        ServingThread serving{server};
        Socket first = connect(server.server_address());
        CHECK(first.recv(1).empty());
        Socket second = connect(server.server_address());
        // Under some policies the second waits for the end of the first.
        CHECK(ask(local.far, "by a pair of sockets\n") == "by a pair of sockets\n");
        local.far.shutdown(ShutdownHow::write);  // not close(): children have copies
        CHECK(ask(tcp.far, "by another connection\n") == "by another connection\n");
        tcp.far.shutdown(ShutdownHow::write);
        CHECK(eventually([&] { return server.statistics().served() == 2; }));
    });
}
