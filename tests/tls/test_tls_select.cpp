// SPDX-License-Identifier: MIT
// select() of connections that speak TLS: what is ready is what a receive would return.
#include <string>
#include <string_view>
#include <thread>

#include "socketserver/buffered_reader.hpp"
#include "socketserver/select.hpp"
#include "socketserver/tls.hpp"
#include "support/carriers.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/tls_contexts.hpp"

using namespace socketserver;
using namespace socketserver::tests;

TEST_CASE("select of a connection that speaks TLS") {
    const Contexts contexts;
    Pair pair = tcp_pair();
    {
        std::jthread client{[&] { start_tls(pair.far, contexts.client, "localhost"); }};
        start_tls(pair.near, contexts.server, {}, patience);
    }
    Pair other = unix_pair();
    std::jthread later;
    on_each_carrier([&] {
        // Tickets have come, which are nothing for the program.
        CHECK_FALSE(select({pair.far, other.near}, 10ms));
        later = std::jthread{[&] { pair.near.sendall("one\ntwo\n"); }};
        CHECK(select({pair.far, other.near})[0]);
        BufferedReader reader{pair.far, 0};  // takes no more than a line
        CHECK(reader.readline() == "one\n");
        CHECK(select({pair.far})[0]);  // the rest of it was decrypted with the first line
        CHECK(select({reader})[0]);
        CHECK(reader.readline() == "two\n");
        CHECK_FALSE(select({pair.far, reader}, 1ms));
        pair.near.shutdown(ShutdownHow::write);
        CHECK(select({reader})[0]);
        CHECK(reader.readline().empty());
    });
}

TEST_CASE("select waits for the whole of a record") {
    const Contexts contexts;
    Pair outer = tcp_pair();  // the TLS client is at its far end
    Pair inner = tcp_pair();  // the server at its near end; what is between, the test passes on
    {
        Pair done = unix_pair();
        std::jthread between{[&] {
            for (;;) {
                const Selected ready = select({outer.near, inner.far, done.near});
                if (ready[0]) inner.far.sendall(outer.near.recv(65536));
                if (ready[1]) outer.near.sendall(inner.far.recv(65536));
                if (ready[2]) return;
            }
        }};
        {
            std::jthread client{[&] { start_tls(outer.far, contexts.client, "localhost"); }};
            start_tls(inner.near, contexts.server, {}, patience);
        }
        done.far.close();
    }
    outer.far.sendall("a line\n");
    const std::string record = outer.near.recv(65536);
    on_each_carrier([&] {
        BufferedReader reader{inner.near};
        inner.far.sendall(std::string_view{record}.substr(0, record.size() - 1));
        CHECK_FALSE(select({reader}, 20ms));
        inner.far.sendall(std::string_view{record}.substr(record.size() - 1));
        CHECK(select({reader}, patience)[0]);
        CHECK(reader.readline() == "a line\n");
    });
}
