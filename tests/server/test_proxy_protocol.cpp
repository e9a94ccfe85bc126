// SPDX-License-Identifier: MIT
// Servers that are told by the PROXY protocol who their clients are, under every policy.
#include "socketserver/proxy_protocol.hpp"

#include <signal.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "socketserver/errors.hpp"
#include "support/captured_stderr.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/proxy_headers.hpp"
#include "support/sanitizers.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

const std::string line = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
const std::string inet{"\xc0\0\2\7\xc6\x33\x64\1\xdc\4\1\xbb", 12};

/// Says for each line who the client is, and what its header says, if there is one.
class Introduced : public StreamRequestHandler {
    void handle() override {
        const ProxyHeader* const header = proxy_header(request());
        for (std::string_view each : rfile()) {
            if (header == nullptr) {
                wfile().print("{} {}", client_address(), each);
                continue;
            }
            wfile().print("{} v{}{} by {} {} {}", client_address(), header->version,
                          header->is_local ? " local" : "", header->proxy.host(),
                          header->unique_id().value_or("-"), each);
        }
    }
};

template <template <class> class MixIn>
constexpr bool is_synchronous =
    std::is_same_v<TCPServer<Introduced, MixIn>, TCPServer<Introduced, SynchronousMixIn>>;
template <class Server>
constexpr bool is_prefork = requires(Server& server) {
    server.worker_pids();
};
template <class Server>
constexpr bool is_forking = requires(Server& server) {
    server.active_children();
};

template <template <class> class MixIn>
class Watched : public TCPServer<Introduced, MixIn> {
    using Base = TCPServer<Introduced, MixIn>;

  public:
    using Base::Base;
    ~Watched() override { this->server_close(); }

    /// In this process; those of prefork workers are theirs.
    std::vector<std::pair<Address, CloseReason>> closed() {
        const std::lock_guard lock{mutex_};
        return closed_;
    }
    bool has_closed(CloseReason reason, std::uint64_t count) {
        return eventually([&] { return this->statistics().closed(reason) == count; });
    }

  private:
    void connection_closed(const Address& client, CloseReason reason,
                           std::chrono::nanoseconds) override {
        const std::lock_guard lock{mutex_};
        closed_.emplace_back(client, reason);
    }
    void refuse_request(Socket& request, const Address& client, RefuseCause) override {
        request.sendall(client.host() + " is refused\n");
    }

    std::mutex mutex_;
    std::vector<std::pair<Address, CloseReason>> closed_;
};

/// The last line of `text` has its answer.
std::string answer(Socket& client, std::string_view text) {
    client.sendall(text);
    std::string reply;
    while (!reply.ends_with('\n')) {
        const std::string part = client.recv(1024);
        if (part.empty()) break;
        reply += part;
    }
    return reply;
}

std::string answer(const Address& address, std::string_view text) {
    Socket client = connect(address);
    return answer(client, text);
}

template <template <class> class MixIn>
void headers() {
    const TimeLimit limit;
    Watched<MixIn> server{any_port, {.proxy_protocol = ProxyProtocol::required}};
    ServingThread serving{server, 10ms};
    const Address& address = server.server_address();

    // Not one byte of what follows is lost.
    CHECK(answer(address, line + "hello\n") == "192.0.2.7:56324 v1 by 127.0.0.1 - hello\n");
    const std::string binary = proxy_v2(0x21, 0x11, inet + tlv(0x05, "id-7"));
    CHECK(answer(address, binary + "hello\n") == "192.0.2.7:56324 v2 by 127.0.0.1 id-7 hello\n");
    // A second header is the client's own.
    CHECK(answer(address, line + line) == "192.0.2.7:56324 v1 by 127.0.0.1 - " + line);
    const std::string long_one =
        proxy_v2(0x21, 0x11, inet + tlv(0x04, std::string(3000, 'x')) + tlv(0x05, "id-8"));
    CHECK(answer(address, long_one + "hello\n") == "192.0.2.7:56324 v2 by 127.0.0.1 id-8 hello\n");
    {  // Byte by byte.
        for (const std::string& header : {line, binary}) {
            Socket client = connect(address);
            client.set_nodelay(true);
            for (const char each : header) client.sendall({&each, 1});
            CHECK(answer(client, "hello\n").starts_with("192.0.2.7:56324 v"));
        }
    }
    // Who is not announced is the proxy.
    CHECK(answer(address, "PROXY UNKNOWN\r\nhello\n").starts_with("127.0.0.1:"));
    {
        Socket proxy = connect(address);
        const std::string own = proxy.getsockname().to_string();
        CHECK(answer(proxy, proxy_v2(0x20, 0, "") + "check\n") ==
              own + " v2 local by 127.0.0.1 - check\n");
    }
    const std::string ipv6 = "PROXY TCP6 2001:db8::7 ::1 1 2\r\n";
    CHECK(answer(address, ipv6 + "hello\n") == "[2001:db8::7]:1 v1 by 127.0.0.1 - hello\n");

    CHECK(server.has_closed(CloseReason::client_closed, 9));
    CHECK(server.statistics().closed() == 9);
    if constexpr (!is_prefork<Watched<MixIn>>) {
        CHECK(eventually([&] { return server.closed().size() == 9; }));
        int announced = 0;
        for (const auto& [client, reason] : server.closed()) {
            if (client == Address{"192.0.2.7", 56324}) ++announced;
            if (client == Address{"2001:db8::7", 1}) ++announced;
        }
        CHECK(announced == 7);
    }
}

template <template <class> class MixIn>
void wrong_headers() {
    const TimeLimit limit;
    CapturedStderr captured;
    {
        Watched<MixIn> server{
            any_port, {.proxy_protocol = ProxyProtocol::required, .proxy_header_timeout = 300ms}};
        ServingThread serving{server, 10ms};
        const Address& address = server.server_address();
        std::uint64_t count = 0;
        for (const std::string& wrong :
             {std::string{"GET / HTTP/1.1\r\n\r\n"}, std::string{"PROXY TCP4 nonsense\r\n"},
              "PROXY UNKNOWN " + std::string(300, 'x'), proxy_v2(0x21, 0x11, inet + "?"),
              proxy_v2(0x21, 0x11, std::string(60000, 'x')), std::string{"hello\n"}}) {
            Socket client = connect(address);
            client.sendall(wrong);
            CHECK(read_to_end(client).empty());
            CHECK(server.has_closed(CloseReason::proxy_header, ++count));
        }
        {  // Ends before, in the middle.
            Socket client = connect(address);
            client.sendall("PROXY TCP4 192");
            client.shutdown(ShutdownHow::write);
            CHECK(read_to_end(client).empty());
            CHECK(server.has_closed(CloseReason::proxy_header, ++count));
        }
        {  // Says nothing, and half of it.
            for (const std::string some : {"", "PROXY "}) {
                Socket client = connect(address);
                client.sendall(some);
                CHECK(read_to_end(client).empty());
                CHECK(server.has_closed(CloseReason::proxy_header, ++count));
            }
        }
        CHECK(server.statistics().closed() == count);
        CHECK(answer(address, line + "hello\n").starts_with("192.0.2.7:56324 "));
    }
    CHECK(captured.text().empty());
}

template <template <class> class MixIn>
void trusted_networks() {
    const TimeLimit limit;
    const auto trusting = [](ProxyProtocol which, std::vector<std::string> networks) {
        return ServerOptions{.proxy_protocol = which, .proxy_networks = std::move(networks)};
    };
    {  // A peer outside is served as it is, and what it sends is its own.
        Watched<MixIn> server{any_port,
                              trusting(ProxyProtocol::from_networks, {"10.0.0.0/8", "::1"})};
        ServingThread serving{server, 10ms};
        Socket client = connect(server.server_address());
        CHECK(answer(client, line) == client.getsockname().to_string() + ' ' + line);
    }
    {
        Watched<MixIn> server{
            any_port, trusting(ProxyProtocol::from_networks, {"10.0.0.0/8", "127.0.0.0/8"})};
        ServingThread serving{server, 10ms};
        CHECK(answer(server.server_address(), line + "hello\n").starts_with("192.0.2.7:56324 v1"));
        Socket without = connect(server.server_address());
        without.sendall("hello\n");
        CHECK(read_to_end(without).empty());
        CHECK(server.has_closed(CloseReason::proxy_header, 1));
    }
    {
        Watched<MixIn> server{any_port,
                              trusting(ProxyProtocol::only_from_networks, {"10.0.0.0/8"})};
        ServingThread serving{server, 10ms};
        Socket client = connect(server.server_address());
        CHECK(read_to_end(client) == "127.0.0.1 is refused\n");
        CHECK(eventually(
            [&] { return server.statistics().refused(RefuseCause::untrusted_peer) == 1; }));
        CHECK(server.statistics().accepted == 1);
    }
    {
        const std::string path = "/tmp/" + own_name("proxy");
        UnixStreamServer<Introduced, MixIn> server{
            path, trusting(ProxyProtocol::only_from_networks, {"unix:"})};
        ServingThread serving{server, 10ms};
        CHECK(answer(path, line + "hello\n") == "192.0.2.7:56324 v1 by  - hello\n");
        std::string names = "/run/client";
        names.resize(216);
        CHECK(answer(path, proxy_v2(0x21, 0x31, names) + "hello\n") ==
              "/run/client v2 by  - hello\n");
        server.shutdown();
    }
}

/// The limit counts by the announced address, whoever serves the request.
template <template <class> class MixIn>
void limit_of_each_address() {
    const TimeLimit limit;
    Watched<MixIn> server{
        any_port, {.max_connections_per_address = 1, .proxy_protocol = ProxyProtocol::required}};
    if constexpr (is_prefork<Watched<MixIn>>) server.workers = 3;
    ServingThread serving{server, 10ms};
    const Address& address = server.server_address();
    for (std::uint64_t turn = 1; turn <= 2; ++turn) {
        {
            Socket first = connect(address);
            CHECK(answer(first, line + "1\n").ends_with(" 1\n"));
            Socket other = connect(address);
            CHECK(
                answer(other, "PROXY TCP4 192.0.2.8 198.51.100.1 1 443\r\n2\n").ends_with(" 2\n"));
            Socket second = connect(address);
            second.sendall(line);
            CHECK(read_to_end(second) == "192.0.2.7 is refused\n");
            CHECK(eventually([&] {
                return server.statistics().refused(RefuseCause::max_connections_per_address) ==
                       turn;
            }));
        }
        CHECK(eventually([&] { return server.statistics().active == 0; }));
    }
    CHECK(server.has_closed(CloseReason::client_closed, 4));
    CHECK(server.statistics().closed() == 4);
    CHECK(server.statistics().accepted == 6);
    if constexpr (!is_prefork<Watched<MixIn>>) {
        // Who was announced as opened is announced as closed.
        CHECK(eventually([&] { return server.closed().size() == 6; }));
        int refused = 0;
        for (const auto& [client, reason] : server.closed()) {
            if (reason == CloseReason::limit) ++refused;
            CHECK(client.host().starts_with("192.0.2."));
        }
        CHECK(refused == 2);
    }
}

template <template <class> class MixIn>
void drained_before_the_header() {
    using Server = Watched<MixIn>;
    if (!delivers_signals_in_forked_children && (is_forking<Server> || is_prefork<Server>)) return;
    const TimeLimit limit;
    Server server{any_port, {.proxy_protocol = ProxyProtocol::required}};
    ServingThread serving{server, 10ms};
    Socket silent = connect(server.server_address());
    Socket half = connect(server.server_address());
    half.sendall("PROXY TCP4");
    CHECK(eventually([&] { return server.statistics().active == 2 || is_synchronous<MixIn>; }));
    const DrainReport report = server.drain(20s);
    CHECK(report.cancelled == 0);
    CHECK(report.remaining == 0);
    CHECK(read_to_end(silent).empty());
    CHECK(read_to_end(half).empty());
    CHECK(server.statistics().closed(CloseReason::finished) == server.statistics().accepted);
}

#define EVERY_POLICY(name, test)                                  \
    TEST_CASE(name ": synchronous") { test<SynchronousMixIn>(); } \
    TEST_CASE(name ": threading") { test<ThreadingMixIn>(); }     \
    TEST_CASE(name ": forking") { test<ForkingMixIn>(); }         \
    TEST_CASE(name ": pool") { test<ThreadPoolMixIn>(); }         \
    TEST_CASE(name ": prefork") { test<PreforkMixIn>(); }         \
    TEST_CASE(name ": prefork of threads") { test<PreforkOf<ThreadingMixIn>::MixIn>(); }

EVERY_POLICY("the header names the client", headers)
EVERY_POLICY("a wrong header ends the connection", wrong_headers)
EVERY_POLICY("the peers that may send a header", trusted_networks)
EVERY_POLICY("a drain before the header comes", drained_before_the_header)
TEST_CASE("each announced address has its limit: threading") {
    limit_of_each_address<ThreadingMixIn>();
}
TEST_CASE("each announced address has its limit: forking") {
    limit_of_each_address<ForkingMixIn>();
}
TEST_CASE("each announced address has its limit: pool") {
    limit_of_each_address<ThreadPoolMixIn>();
}
TEST_CASE("each announced address has its limit: prefork") {
    limit_of_each_address<PreforkMixIn>();
}
TEST_CASE("each announced address has its limit: prefork of processes") {
    limit_of_each_address<PreforkOf<ForkingMixIn>::MixIn>();
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("the header names the client: fiber") { headers<FiberMixIn>(); }
TEST_CASE("a wrong header ends the connection: fiber") { wrong_headers<FiberMixIn>(); }
TEST_CASE("the peers that may send a header: fiber") { trusted_networks<FiberMixIn>(); }
TEST_CASE("a drain before the header comes: fiber") { drained_before_the_header<FiberMixIn>(); }
TEST_CASE("each announced address has its limit: fiber") { limit_of_each_address<FiberMixIn>(); }
#endif

TEST_CASE("a child that dies with a share of the limit gives it back") {
    const TimeLimit limit;
    CapturedStderr captured;
    Watched<ForkingMixIn> server{
        any_port, {.max_connections_per_address = 1, .proxy_protocol = ProxyProtocol::required}};
    ServingThread serving{server, 10ms};
    Socket first = connect(server.server_address());
    CHECK(answer(first, line + "1\n").ends_with(" 1\n"));
    serving.stop();
    const std::vector<int> children = server.active_children();
    REQUIRE(children.size() == 1);
    ::kill(children.front(), SIGKILL);
    ServingThread again{server, 10ms};
    CHECK(server.has_closed(CloseReason::error, 1));
    CHECK(answer(server.server_address(), line + "2\n").ends_with(" 2\n"));
}

TEST_CASE("options that cannot be meant") {
    using Server = TCPServer<Introduced>;
    const auto options = [](std::vector<std::string> networks) {
        return ServerOptions{.proxy_protocol = ProxyProtocol::from_networks,
                             .proxy_networks = std::move(networks)};
    };
    CHECK_THROWS_AS((Server{any_port, options({})}), std::invalid_argument);
    CHECK_THROWS_AS((Server{any_port, options({"10.0.0.0/33"})}), std::invalid_argument);
    CHECK_THROWS_AS((Server{any_port, options({"unix"})}), std::invalid_argument);
    CHECK_THROWS_AS((Server{any_port, options({"example.org"})}), std::invalid_argument);
}

TEST_CASE("a server with daemon threads does not wait for a header") {
    const TimeLimit limit{20};
    const std::size_t threads = thread_count();
    Socket client;
    {
        TCPServer<Introduced, ThreadingMixIn> server{
            any_port, {.proxy_protocol = ProxyProtocol::required, .proxy_header_timeout = 10min}};
        server.daemon_threads = true;
        ServingThread serving{server, 10ms};
        client = connect(server.server_address());
        CHECK(eventually([&] { return server.statistics().threads == 1; }));
        serving.stop();
    }
    client.sendall(line + "too late\n");
    CHECK(read_to_end(client).empty());
    CHECK(eventually([&] { return thread_count() == threads; }));
}

}  // namespace
