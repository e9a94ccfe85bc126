// SPDX-License-Identifier: MIT
// What clients do to a server in its handshakes.
#include <openssl/ssl.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "socketserver/socketserver.hpp"
#include "socketserver/tls_server.hpp"
#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/sanitizers.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

SSLContext context_of(const Certificate& certificate) {
    SSLContext context{TLSPurpose::server};
    context.load_cert_chain_from_memory(pem_of(certificate), key_pem_of(certificate));
    return context;
}

SSLContext any_server() {
    SSLContext client{TLSPurpose::client};
    client.verify_mode(VerifyMode::none);
    return client;
}

/// A client that makes a handshake by hand, and sends no more than so many bytes for it. No child
/// is forked while it is inside OpenSSL, whose locks would be held in the child for ever.
class ByHand {
  public:
    explicit ByHand(const Address& address) : socket_{connect(address)} {
        const NoFork no_fork;
        ssl_ = SSL_new(context_.native_handle());
        SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_connect_state(ssl_);
    }
    ByHand(const ByHand&) = delete;
    ByHand& operator=(const ByHand&) = delete;
    ~ByHand() {
        const NoFork no_fork;
        SSL_free(ssl_);
    }

    Socket& socket() { return socket_; }
    /// What the client would send next.
    std::string next_output() {
        const NoFork no_fork;
        SSL_do_handshake(ssl_);
        std::string output(4096, '\0');
        const int size =
            BIO_read(SSL_get_wbio(ssl_), output.data(), static_cast<int>(output.size()));
        output.resize(static_cast<std::size_t>(std::max(size, 0)));
        return output;
    }
    /// True if that was enough for the whole handshake.
    bool handshake(std::size_t most) {
        while (SSL_is_init_finished(ssl_) == 0 || BIO_pending(SSL_get_wbio(ssl_)) > 0) {
            const std::string output = next_output();
            socket_.sendall(output.substr(0, most));
            if (output.size() > most) return false;
            most -= output.size();
            if (SSL_is_init_finished(ssl_) != 0) break;
            const std::string input = socket_.recv(4096);
            if (input.empty()) return false;
            BIO_write(SSL_get_rbio(ssl_), input.data(), static_cast<int>(input.size()));
        }
        return true;
    }

  private:
    SSLContext context_ = any_server();
    Socket socket_;
    SSL* ssl_ = nullptr;
};

class Echo : public StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

template <template <class> class MixIn>
void reset_at_each_step() {
    const TimeLimit limit;
    const Counts before;
    {
        TLSServer<TCPServer<Echo, MixIn>> server{any_port, context_of(make_certificate())};
        const ServingThread serving{server};
        std::uint64_t broken = 0;
        std::uint64_t done = 0;
        for (std::size_t most = 0; done == 0; most += 23) {
            ByHand client{server.server_address()};
            ++(client.handshake(most) ? done : broken);
            reset(client.socket());
        }
        CHECK(broken > 10);
        Socket good = create_connection(server.server_address(), any_server(), patience);
        CHECK(ask(good, "still there\n") == "still there\n");
        good.close();
        CHECK(eventually([&] { return server.statistics().active == 0; }));
        CHECK(server.statistics().closed(CloseReason::handshake) == broken);
    }
    CHECK(before.are_back());
}

template <template <class> class MixIn>
void one_byte_at_a_time() {
    const TimeLimit limit;
    TLSServer<TCPServer<Echo, MixIn>> server{any_port, context_of(make_certificate())};
    server.handshake_timeout = 300ms;
    const ServingThread serving{server};
    ByHand client{server.server_address()};
    const std::string hello = client.next_output();
    const auto began = std::chrono::steady_clock::now();
    client.socket().settimeout(10ms);  // the pace
    std::size_t sent = 0;
    for (bool is_open = true; is_open && sent < hello.size(); ++sent) {
        try {
            client.socket().sendall(hello.substr(sent, 1));
            is_open = !client.socket().recv(1).empty();
        } catch (const TimeoutError&) {
        } catch (const std::system_error&) {  // a reset
            is_open = false;
        }
    }
    CHECK(sent < hello.size());
    CHECK(std::chrono::steady_clock::now() - began < patience);
    CHECK(eventually([&] { return server.statistics().closed(CloseReason::handshake) == 1; }));
}

template <template <class> class MixIn>
void many_handshakes_against_a_limit() {
    const TimeLimit limit;
    const Counts before;
    {
        TLSServer<TCPServer<Echo, MixIn>> server{
            any_port, context_of(make_certificate()), {.max_connections = 4}};
        const ServingThread serving{server};
        constexpr int clients = 8;
        constexpr int each = under_tsan || under_asan ? 25 : 100;
        std::atomic<int> answered{0};
        {
            std::vector<std::jthread> threads;
            for (int i = 0; i < clients; ++i) {
                threads.emplace_back([&] {
                    const SSLContext context = any_server();
                    for (int k = 0; k < each; ++k) {
                        Socket socket =
                            create_connection(server.server_address(), context, patience);
                        if (ask(socket, "x\n") == "x\n") ++answered;
                    }
                });
            }
        }
        CHECK(answered == clients * each);
        CHECK(eventually([&] { return server.statistics().active == 0; }));
        CHECK(server.statistics().closed(CloseReason::handshake) == 0);
    }
    CHECK(before.are_back());
}

}  // namespace

TEST_CASE("a reset at each step of the handshake: threading") {
    reset_at_each_step<ThreadingMixIn>();
}
TEST_CASE("a reset at each step of the handshake: forking") {
    if (!may_fork_beside_allocating_threads) return;  // the client in this thread does
    reset_at_each_step<ForkingMixIn>();
}
TEST_CASE("a reset at each step of the handshake: pool") { reset_at_each_step<ThreadPoolMixIn>(); }
TEST_CASE("a reset at each step of the handshake: prefork") { reset_at_each_step<PreforkMixIn>(); }
TEST_CASE("a ClientHello of one byte at a time: threading") {
    one_byte_at_a_time<ThreadingMixIn>();
}
TEST_CASE("a ClientHello of one byte at a time: prefork") { one_byte_at_a_time<PreforkMixIn>(); }
TEST_CASE("handshakes without end against a limit: threading") {
    many_handshakes_against_a_limit<ThreadingMixIn>();
}
TEST_CASE("handshakes without end against a limit: pool") {
    many_handshakes_against_a_limit<ThreadPoolMixIn>();
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("a reset at each step of the handshake: fiber") { reset_at_each_step<FiberMixIn>(); }
TEST_CASE("a ClientHello of one byte at a time: fiber") { one_byte_at_a_time<FiberMixIn>(); }
TEST_CASE("handshakes without end against a limit: fiber") {
    many_handshakes_against_a_limit<FiberMixIn>();
}
#endif
