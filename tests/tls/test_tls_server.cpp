// SPDX-License-Identifier: MIT
// TLS servers under every policy.
#include "socketserver/tls_server.hpp"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "socketserver/socketserver.hpp"
#include "support/captured_stderr.hpp"
#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/sanitizers.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// The files of a server, and a client that trusts it.
struct Files {
    TemporaryFolder folder{};
    Certificate authority = make_authority();
    SSLContext client{TLSPurpose::client};

    Files() {
        client.load_verify_locations_from_memory(pem_of(authority));
        renew("localhost");
    }
    void renew(const std::string& common_name) {
        const Certificate made = make_certificate({.common_name = common_name}, &authority);
        write_file(folder / "new.pem", pem_of(made) + key_pem_of(made));
        std::filesystem::rename(folder / "new.pem", folder / "server.pem");
    }
    TLSFiles of_server() const { return {.certfile = folder / "server.pem"}; }

    Socket connect(const Address& address) const {
        return create_connection(address, client, patience, "localhost");
    }
};

/// Says whether it speaks TLS, then echoes lines until the client ends.
class Echo : public StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) {
            const bool encrypted = is_tls(request());
            wfile().print("{} {}", encrypted ? TLSConnection{request()}.version() : "plain", line);
        }
    }
};

template <class Server>
void serve_three_clients(const Address& address) {
    const Files files;
    TLSServer<Server> server{address, files.of_server()};
    ServingThread serving{server, 10ms};
    std::vector<Socket> clients;
    // Who serves one after the other, in one process or in each of a few, makes one handshake after
    // the other too.
    constexpr bool at_once =
        !std::is_base_of_v<SynchronousMixIn<BaseServer<Echo, SynchronousMixIn>>, Server> &&
        !requires {
        server.worker_pids();
    };
    for (int i = 0; i < 3; ++i) {
        Socket client = files.connect(server.server_address());
        client.sendall("hello\n");
        CHECK(client.recv(100) == "TLSv1.3 hello\n");
        if (at_once) {
            clients.push_back(std::move(client));
        } else {
            client.shutdown(ShutdownHow::write);
            CHECK(client.recv(100).empty());
        }
    }
    for (Socket& client : clients) {
        client.sendall("again\n");
        CHECK(client.recv(100) == "TLSv1.3 again\n");
        client.shutdown(ShutdownHow::write);
        CHECK(client.recv(100).empty());  // and no truncation
    }
    CHECK(eventually([&] { return server.statistics().served() == 3; }));
    serving.stop();
    CHECK_FALSE(serving.error());
}

template <template <class> class MixIn>
void both_transports() {
    const TimeLimit limit;
    const Counts before;
    serve_three_clients<TCPServer<Echo, MixIn>>(any_port);
    serve_three_clients<UnixStreamServer<Echo, MixIn>>("/tmp/" + own_name("tls"));
    CHECK(before.are_back());
}

/// A server of a user's own, with hooks, that knows nothing of TLS.
template <template <class> class MixIn>
class Hooked : public TCPServer<Echo, MixIn> {
  public:
    using Base = TCPServer<Echo, MixIn>;
    using Base::Base;

    Shared<std::atomic<int>> prepared{};
    Shared<std::atomic<int>> prepared_in_tls{};
    Shared<std::atomic<int>> errors{};

  protected:
    void prepare_request(Socket& request, Address& client_address) override {
        ++*prepared;
        if (is_tls(request)) ++*prepared_in_tls;
        Base::prepare_request(request, client_address);
    }
    void handle_error(Socket& request, const Address& client_address,
                      std::exception_ptr error) override {
        ++*errors;
        Base::handle_error(request, client_address, error);
    }
};

/// The same with TLS, which remembers why handshakes failed.
template <template <class> class MixIn>
class Watching : public TLSServer<Hooked<MixIn>> {
  public:
    using Base = TLSServer<Hooked<MixIn>>;
    using Base::Base;
    ~Watching() override { this->server_close(); }

    Shared<std::array<std::atomic<int>, 9>> failures{};

    int failed(HandshakeFailure reason) const {
        return (*failures)[static_cast<std::size_t>(reason)].load();
    }

  protected:
    void handshake_failed(const Address& client_address, const HandshakeError& error) override {
        if (!client_address.empty()) ++(*failures)[static_cast<std::size_t>(error.reason())];
    }
};

std::string raw_answer(const Address& address, std::string_view request) {
    Socket client = connect(address);
    client.sendall(request);
    client.shutdown(ShutdownHow::write);
    return read_to_end(client);
}

template <template <class> class MixIn>
void failed_handshakes() {
    const TimeLimit limit;
    const Files files;
    std::string printed;
    {
        Watching<MixIn> server{files.of_server().context(), any_port};
        server.handshake_timeout = patience;
        CapturedStderr captured;
        ServingThread serving{server};
        raw_answer(server.server_address(), "GET / HTTP/1.0\r\n\r\n");
        raw_answer(server.server_address(), "");
        CHECK_THROWS_AS(create_connection(server.server_address(), SSLContext{TLSPurpose::client},
                                          patience, "localhost"),
                        HandshakeError);
        Socket good = files.connect(server.server_address());
        CHECK(ask(good, "still there\n").starts_with("TLSv1.3 "));
        good.close();
        CHECK(eventually([&] { return server.statistics().active == 0; }));
        const Statistics statistics = server.statistics();
        CHECK(statistics.closed(CloseReason::handshake) == 3);
        CHECK(statistics.failed() == 3);
        CHECK(statistics.served() == 1);
        CHECK(server.failed(HandshakeFailure::not_tls) == 1);
        CHECK(server.failed(HandshakeFailure::client_closed) == 1);
        CHECK(server.failed(HandshakeFailure::peer_refused) == 1);
        CHECK(*server.prepared == 1);
        CHECK(*server.prepared_in_tls == 1);
        CHECK(*server.errors == 3);
        serving.stop();
        printed = captured.text();
    }
    CHECK(printed.empty());
    Watching<MixIn> hasty{files.of_server().context(), any_port};
    hasty.handshake_timeout = 50ms;
    const ServingThread serving{hasty};
    Socket silent = connect(hasty.server_address());
    CHECK(read_to_end(silent).empty());  // the server ends it
    CHECK(eventually([&] { return hasty.statistics().closed(CloseReason::handshake) == 1; }));
    CHECK(hasty.failed(HandshakeFailure::timed_out) == 1);
}

}  // namespace

/// A header of the PROXY protocol comes before the handshake, in one piece with it.
template <template <class> class MixIn>
void behind_a_proxy() {
    const TimeLimit limit;
    const Files files;
    class Named : public StreamRequestHandler {
        void handle() override {
            for (std::string_view line : rfile()) {
                wfile().print("{} {} {}", client_address(), is_tls(request()), line);
            }
        }
    };
    TLSServer<TCPServer<Named, MixIn>> server{
        any_port, files.of_server(), {.proxy_protocol = ProxyProtocol::required}};
    ServingThread serving{server, 10ms};
    Socket client = tests::connect(server.server_address());
    client.sendall("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n");
    start_tls(client, files.client, "localhost");
    client.sendall("hello\n");
    BufferedReader reader{client};
    CHECK(reader.readline() == "192.0.2.7:56324 true hello\n");
    Socket without = tests::connect(server.server_address());
    CHECK_THROWS_AS(start_tls(without, files.client, "localhost"), SSLError);
    CHECK(eventually([&] { return server.statistics().closed(CloseReason::proxy_header) == 1; }));
    serving.stop();
}

TEST_CASE("SynchronousMixIn with TLS") { both_transports<SynchronousMixIn>(); }
TEST_CASE("ThreadingMixIn with TLS") { both_transports<ThreadingMixIn>(); }
TEST_CASE("ForkingMixIn with TLS") { both_transports<ForkingMixIn>(); }
TEST_CASE("ThreadPoolMixIn with TLS") { both_transports<ThreadPoolMixIn>(); }
TEST_CASE("PreforkMixIn with TLS") { both_transports<PreforkMixIn>(); }
TEST_CASE("a failed handshake ends its connection: synchronous") {
    failed_handshakes<SynchronousMixIn>();
}
TEST_CASE("a failed handshake ends its connection: threading") {
    failed_handshakes<ThreadingMixIn>();
}
TEST_CASE("a failed handshake ends its connection: forking") { failed_handshakes<ForkingMixIn>(); }
TEST_CASE("a failed handshake ends its connection: pool") { failed_handshakes<ThreadPoolMixIn>(); }
TEST_CASE("a failed handshake ends its connection: prefork") { failed_handshakes<PreforkMixIn>(); }
TEST_CASE("TLS begins after the PROXY header: threading") { behind_a_proxy<ThreadingMixIn>(); }
TEST_CASE("TLS begins after the PROXY header: forking") { behind_a_proxy<ForkingMixIn>(); }
TEST_CASE("TLS begins after the PROXY header: pool") { behind_a_proxy<ThreadPoolMixIn>(); }
TEST_CASE("TLS begins after the PROXY header: prefork") {
    behind_a_proxy<PreforkOf<ThreadingMixIn>::MixIn>();
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("TLS begins after the PROXY header: fiber") { behind_a_proxy<FiberMixIn>(); }
TEST_CASE("FiberMixIn with TLS") { both_transports<FiberMixIn>(); }
TEST_CASE("a failed handshake ends its connection: fiber") { failed_handshakes<FiberMixIn>(); }
#endif

namespace {

template <class Base>
class Forgetful : public Base {
  public:
    using Base::Base;
    ~Forgetful() override { this->server_close(); }

  protected:
    void prepare_request(Socket&, Address&) override {}  // does not call that of TLSServer
};

}  // namespace

TEST_CASE("an override of prepare_request() that forgets TLS does not serve in plain text") {
    const TimeLimit limit;
    const Files files;
    Forgetful<TLSServer<ThreadingTCPServer<Echo>>> server{any_port, files.of_server()};
    const ServingThread serving{server};
    Socket client = files.connect(server.server_address());
    CHECK(ask(client, "hello\n").starts_with("TLSv1.3 "));
}

TEST_CASE("a server whose certificate cannot be used is not made") {
    const TemporaryFolder folder;
    using Server = TLSServer<TCPServer<Echo>>;
    CHECK_THROWS_AS((Server{any_port, {.certfile = folder / "none.pem"}}), SSLError);
    CHECK_THROWS_AS((Server{any_port, SSLContext{TLSPurpose::client}}), SSLError);
}

namespace {

class ByName : public TLSServer<ThreadingTCPServer<Echo>> {
  public:
    using TLSServer::TLSServer;
    ~ByName() override { server_close(); }

  private:
    bool verify_peer(const TLSConnection& connection, const Address&) override {
        const auto peer = connection.getpeercert();
        return peer && peer->common_name == "alice";
    }
};

}  // namespace

TEST_CASE("verify_peer() decides by the certificate of the client") {
    const TimeLimit limit;
    const Files files;
    SSLContext context = files.of_server().context();
    context.load_verify_locations_from_memory(pem_of(files.authority));
    context.verify_mode(VerifyMode::required);
    ByName server{any_port, context};
    const ServingThread serving{server};
    const auto answer = [&](const std::string& name) {
        SSLContext client{TLSPurpose::client};
        client.load_verify_locations_from_memory(pem_of(files.authority));
        const Certificate own = make_certificate({.common_name = name}, &files.authority);
        client.load_cert_chain_from_memory(pem_of(own), key_pem_of(own));
        Socket socket = create_connection(server.server_address(), client, patience, "localhost");
        return ask(socket, "hello\n");
    };
    CHECK(answer("alice") == "TLSv1.3 hello\n");
    CHECK(answer("mallory").empty());
    CHECK(eventually([&] { return server.statistics().closed(CloseReason::handshake) == 1; }));
}

namespace {

template <template <class> class MixIn>
void reload_while_serving() {
    const TimeLimit limit;
    Files files;
    TLSServer<TCPServer<Echo, MixIn>> server{any_port, files.of_server()};
    const ServingThread serving{server};
    const auto name_of = [](Socket& client) {
        return TLSConnection{client}.getpeercert()->common_name;
    };
    Socket old = files.connect(server.server_address());
    CHECK(name_of(old) == "localhost");
    files.renew("renewed");
    server.context().reload();
    for (int i = 0; i < 4; ++i) {  // whichever worker it is
        Socket client = files.connect(server.server_address());
        CHECK(name_of(client) == "renewed");
        CHECK(ask(client, "hello\n") == "TLSv1.3 hello\n");
    }
    CHECK(ask(old, "hello\n") == "TLSv1.3 hello\n");
    write_file(files.folder / "server.pem", "rubbish");
    CHECK_THROWS_AS(server.context().reload(), SSLError);
    Socket client = files.connect(server.server_address());
    CHECK(name_of(client) == "renewed");
}

template <template <class> class MixIn>
void reload_authorities_while_serving() {
    const TimeLimit limit;
    const Files files;
    const Certificate other = make_authority("another authority");
    const std::string cafile = write_file(files.folder / "ca.pem", pem_of(files.authority));
    SSLContext context = files.of_server().context();
    context.load_verify_locations(cafile);
    context.verify_mode(VerifyMode::required);
    TLSServer<TCPServer<Echo, MixIn>> server{any_port, context};
    const ServingThread serving{server};
    const auto is_served = [&](const Certificate& authority) {
        SSLContext client{TLSPurpose::client};
        client.load_verify_locations_from_memory(pem_of(files.authority));
        const Certificate own = make_certificate({.common_name = "alice"}, &authority);
        client.load_cert_chain_from_memory(pem_of(own), key_pem_of(own));
        try {
            Socket socket =
                create_connection(server.server_address(), client, patience, "localhost");
            return ask(socket, "hello\n") == "TLSv1.3 hello\n";
        } catch (const std::system_error&) {
            return false;  // an alert, or the reset that follows it
        }
    };
    CHECK(is_served(files.authority));
    CHECK_FALSE(is_served(other));
    write_file(cafile, pem_of(other));
    server.context().reload();
    for (int i = 0; i < 4; ++i) {  // whichever worker it is
        CHECK_FALSE(is_served(files.authority));
        CHECK(is_served(other));
    }
    write_file(cafile, "rubbish");
    CHECK_THROWS_AS(server.context().reload(), SSLError);
    CHECK_FALSE(is_served(files.authority));
    CHECK(is_served(other));
}

template <template <class> class MixIn>
void drain_announces_the_end() {
    const TimeLimit limit;
    const Files files;
    TLSServer<TCPServer<Echo, MixIn>> server{any_port, files.of_server()};
    const ServingThread serving{server};
    Socket client = files.connect(server.server_address());
    CHECK(ask(client, "hello\n") == "TLSv1.3 hello\n");
    const DrainReport report = server.drain(patience);
    CHECK(report.remaining == 0);
    CHECK(report.cancelled == 0);
    CHECK(client.recv(100).empty());  // and no SSLEOFError
}

}  // namespace

TEST_CASE("a reload while serving: threading") { reload_while_serving<ThreadingMixIn>(); }
TEST_CASE("a reload while serving: forking") { reload_while_serving<ForkingMixIn>(); }
TEST_CASE("a reload while serving: prefork") { reload_while_serving<PreforkMixIn>(); }
TEST_CASE("reload of authorities: synchronous") {
    reload_authorities_while_serving<SynchronousMixIn>();
}
TEST_CASE("reload of authorities: threading") {
    reload_authorities_while_serving<ThreadingMixIn>();
}
TEST_CASE("reload of authorities: pool") { reload_authorities_while_serving<ThreadPoolMixIn>(); }
TEST_CASE("reload of authorities: forking") { reload_authorities_while_serving<ForkingMixIn>(); }
TEST_CASE("reload of authorities: prefork") { reload_authorities_while_serving<PreforkMixIn>(); }
TEST_CASE("a drain announces the end: threading") { drain_announces_the_end<ThreadingMixIn>(); }
TEST_CASE("a drain announces the end: forking") {
    if (delivers_signals_in_forked_children) drain_announces_the_end<ForkingMixIn>();
}
TEST_CASE("a drain announces the end: prefork") {
    if (delivers_signals_in_forked_children) drain_announces_the_end<PreforkMixIn>();
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("a reload while serving: fiber") { reload_while_serving<FiberMixIn>(); }
TEST_CASE("reload of authorities: fiber") { reload_authorities_while_serving<FiberMixIn>(); }
TEST_CASE("a drain announces the end: fiber") { drain_announces_the_end<FiberMixIn>(); }
#endif

TEST_CASE("OpenSSL is of use in a child that was forked beside handshakes") {
    if (!may_fork_beside_allocating_threads) return;
    const TimeLimit limit;
    const Files files;
    TLSServer<TCPServer<Echo, ThreadingMixIn>> server{any_port, files.of_server()};
    const ServingThread serving{server};
    const std::jthread clients{[&](const std::stop_token& stop) {
        while (!stop.stop_requested()) files.connect(server.server_address());
    }};
    for (int i = 0; i < 500; ++i) {
        const pid_t child = ::fork();
        REQUIRE(child != -1);
        if (child == 0) {
            ::alarm(10);  // ends it
            // What nobody has used before takes a lock of OpenSSL for writing.
            const bool is_there = EVP_MD_fetch(nullptr, "BLAKE2B-512", nullptr) != nullptr;
            ::_exit(is_there ? 0 : 1);
        }
        int status = -1;
        REQUIRE(::waitpid(child, &status, 0) == child);
        REQUIRE(status == 0);
    }
}
