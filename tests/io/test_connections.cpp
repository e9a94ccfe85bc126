// SPDX-License-Identifier: MIT
// Connections: sending to, listing and closing the connections of other handlers.
#include "socketserver/connections.hpp"

#include <atomic>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "socketserver/buffered_writer.hpp"
#include "socketserver/select.hpp"
#include "support/carriers.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/policies.hpp"

using namespace socketserver;
using namespace socketserver::tests;

TEST_CASE("connections are listed in the order in which they enter, and leave by themselves") {
    Connections room;
    Pair pair = unix_pair();
    CHECK(room.list().empty());
    std::uint64_t gone = 0;
    {
        Membership one{room, pair.near, {"127.0.0.1", 1}};
        {
            Membership two{room, pair.near, {"127.0.0.1", 2}};
            gone = two.id();
            CHECK(room.size() == 2);
            CHECK(room.send(two.id(), "abc"));
            const auto all = room.list();
            REQUIRE(all.size() == 2);
            CHECK(all[0].id == one.id());
            CHECK(all[0].client_address == Address{"127.0.0.1", 1});
            CHECK(all[0].waiting == 0);
            CHECK(all[1].client_address == Address{"127.0.0.1", 2});
            CHECK(all[1].waiting == 3);
            CHECK(all[0].since <= all[1].since);
        }
        CHECK(room.size() == 1);
        CHECK_FALSE(room.send(gone, "x"));
        CHECK_FALSE(room.close(gone));
        const Membership three{room, pair.near, {}};
        CHECK(three.id() != gone);
    }
    CHECK(room.size() == 0);
}

TEST_CASE("what is sent wakes the handler of each connection, which writes it") {
    Connections room;
    Pair one = unix_pair();
    Pair two = unix_pair();
    std::jthread later;
    on_each_carrier([&] {
        Membership me{room, one.near, {}};
        Membership other{room, two.near, {}};
        BufferedWriter writer{one.near};
        CHECK_FALSE(select({me, other}, 1ms));
        later = std::jthread{[&] {
            room.broadcast("to one\n", &other);
            room.send(me.id(), "and more\n");
        }};
        const Selected ready = select({me, other});
        later.join();
        CHECK(ready[0]);
        CHECK_FALSE(ready[1]);
        CHECK(me.deliver(writer));
        CHECK(one.far.recv(100) == "to one\nand more\n");
        CHECK_FALSE(select({me}, 0s));
        CHECK(room.list()[0].waiting == 0);
        CHECK(room.broadcast("x") == 2);
    });
}

TEST_CASE("a connection that is closed gets what was sent before") {
    Connections room;
    Pair pair = unix_pair();
    BufferedWriter writer{pair.near};
    Membership me{room, pair.near, {}};
    const bool all = GENERATE(false, true);
    room.broadcast("last words\n");
    if (all) {
        room.close_all();
    } else {
        CHECK(room.close(me.id()));
    }
    CHECK(room.broadcast("too late\n") == 0);
    CHECK_FALSE(room.send(me.id(), "too late\n"));
    CHECK(select({me}, 0s)[0]);
    CHECK_FALSE(me.deliver(writer));
    CHECK(pair.far.recv(100) == "last words\n");
    Membership next{room, pair.near, {}};
    CHECK(next.deliver(writer) == !all);
}

TEST_CASE("a connection for which too much waits is broken off, in the middle of a write too") {
    const TimeLimit limit;
    Connections room{10'000};
    Pair pair = unix_pair();
    fill(pair.near);
    std::atomic<bool> ended{false};
    std::jthread handler{[&] {
        Membership me{room, pair.near, {}};
        BufferedWriter writer{pair.near};
        try {
            while (select({me}) && me.deliver(writer)) {
            }
        } catch (const std::system_error&) {
        }
        ended = true;
    }};
    CHECK(eventually([&] { return room.size() == 1; }));
    const std::string text(1000, 'x');
    int sent = 0;
    while (room.broadcast(text) == 1) ++sent;
    CHECK(sent >= 10);
    CHECK(sent <= 11);
    CHECK(eventually([&] { return ended.load(); }));
    CHECK(room.size() == 0);
}

namespace {

/// Each line to everybody.
class Talking : public StreamRequestHandler {
  public:
    explicit Talking(Connections& room) : room_{room} {}

  private:
    void handle() override {
        Membership me{room_, connection(), client_address()};
        wfile().write("welcome\n");
        for (;;) {
            const Selected ready = select({rfile(), me});
            if (ready[1] && !me.deliver(wfile())) return;
            if (!ready[0]) continue;
            const std::string_view line = rfile().readline();
            if (line.empty()) return;
            room_.broadcast(line);
        }
    }
    Connections& room_;
};

template <template <class> class MixIn>
void check_room() {
    const TimeLimit limit;
    const Counts before;
    {
        Connections room;
        TCPServer<Talking, MixIn> server{any_port, {}, [&] { return Talking{room}; }};
        ServingThread serving{server};
        std::deque<Socket> guests;
        for (int i = 0; i < 8; ++i) {
            guests.push_back(connect(server.server_address()));
            CHECK(guests.back().recv_exactly(8) == "welcome\n");
        }
        // They all talk at once, while others come and go.
        constexpr int lines = 50;
        {
            std::vector<std::jthread> talking;
            for (Socket& guest : guests) {
                talking.emplace_back([&guest] {
                    for (int i = 0; i < lines; ++i) guest.sendall("line\n");
                });
            }
            for (int i = 0; i < 20; ++i) connect(server.server_address()).sendall("line\n");
            for (int i = 0; i < 100; ++i) room.list();
        }
        // Each guest's own lines reach all who were there from the beginning.
        for (Socket& guest : guests) {
            CHECK(guest.recv_exactly(5 * lines * guests.size()).substr(0, 5) == "line\n");
        }
        room.broadcast("from a hook\n");
        room.close_all();
        for (Socket& guest : guests) {
            const std::string rest = read_to_end(guest);
            CHECK(rest.find("from a hook\n") != std::string::npos);
        }
        CHECK(eventually([&] { return room.size() == 0; }));
        serving.stop();
    }
    CHECK(before.are_back());
}

}  // namespace

TEST_CASE("connections of a server under threads") { check_room<ThreadingMixIn>(); }
TEST_CASE("connections of a server under a pool") { check_room<ThreadPoolMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("connections of a server under fibers") { check_room<FiberMixIn>(); }
#endif
