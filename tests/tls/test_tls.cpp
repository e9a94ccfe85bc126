// SPDX-License-Identifier: MIT
// One connection's TLS: what Socket promises, kept when the bytes are encrypted.
#include "socketserver/tls.hpp"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "socketserver/buffered_reader.hpp"
#include "socketserver/buffered_writer.hpp"
#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/connected_sockets.hpp"
#include "support/serving.hpp"
#include "support/tls_contexts.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::ContainsSubstring;

/// What a handshake of this side throws; empty: nothing.
std::string error_of_tls(Socket& socket, const SSLContext& context, const std::string& name = {}) {
    return text_of([&] { start_tls(socket, context, name, patience); });
}

/// `near` is the server.
Pair tls_pair(const Contexts& contexts, Pair pair, const std::string& name = "localhost") {
    std::string error;
    std::jthread client{[&] { error = error_of_tls(pair.far, contexts.client, name); }};
    start_tls(pair.near, contexts.server, {}, patience);
    client.join();
    REQUIRE(error.empty());
    pair.near.settimeout(patience);
    pair.far.settimeout(patience);
    return pair;
}

Pair some_pair() { return GENERATE(true, false) ? tcp_pair() : unix_pair(); }

/// Bytes of which any that are lost, doubled or moved are noticed.
std::string pattern(std::size_t size, unsigned seed) {
    std::string bytes(size, '\0');
    for (char& each : bytes) {
        seed = seed * 1664525 + 1013904223;
        each = static_cast<char>(seed >> 24);
    }
    return bytes;
}

/// What is raw on the wire, to see that it is not what was sent.
void send_raw(Socket& socket, std::string_view data) {
    REQUIRE(::send(socket.fileno(), data.data(), data.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(data.size()));
}

}  // namespace

TEST_CASE("bytes go both ways, and are encrypted") {
    const TimeLimit limit;
    const Contexts contexts;
    Pair pair = tls_pair(contexts, some_pair());
    CHECK(is_tls(pair.near));
    pair.near.sendall("hello from the server\n");
    CHECK(pair.far.recv(100) == "hello from the server\n");
    pair.far.sendall("hello from the client\n");
    char wire[1000] = "";
    const ssize_t size = ::recv(pair.near.fileno(), wire, sizeof wire, MSG_PEEK);
    CHECK(size > 0);
    CHECK(std::string(wire, static_cast<std::size_t>(size)).find("hello") == std::string::npos);
    std::string buffer(100, '\0');
    CHECK(pair.near.recv_into(buffer) == std::strlen("hello from the client\n"));
    CHECK(buffer.starts_with("hello from the client\n"));
    CHECK(pair.near.send("x") == 1);
    CHECK(pair.far.recv(1) == "x");
}

TEST_CASE("what was decrypted and not taken is seen by the next receive") {
    const TimeLimit limit;
    const Contexts contexts;
    Pair pair = tls_pair(contexts, some_pair());
    pair.far.sendall("one\ntwo\n");
    CHECK(pair.near.recv(4) == "one\n");
    pair.near.settimeout(std::chrono::nanoseconds{0});
    CHECK(pair.near.recv(4) == "two\n");
    CHECK(error_of([&] { pair.near.recv(4); }) == EAGAIN);
    pair.near.settimeout(patience);
    BufferedReader reader{pair.near};
    pair.far.sendall("a\nb\n");
    pair.far.sendall("c\n");
    CHECK(reader.readline() == "a\n");
    CHECK(reader.buffered() == 2);
    CHECK(reader.readline() == "b\n");
    CHECK(reader.peek() == "c\n");
}

TEST_CASE("one thread receives while another sends, much and in both directions at once") {
    const TimeLimit limit{110};
    const Contexts contexts;
    Pair pair = tls_pair(contexts, some_pair());
    constexpr std::size_t round = std::size_t{1} << 20;
    const int rounds = may_fork_beside_allocating_threads ? 100 : 10;
    const std::string of_near = pattern(round, 1);
    const std::string of_far = pattern(round, 2);
    std::atomic<int> wrong{0};
    const auto send = [&](Socket& socket, const std::string& bytes) {
        for (int i = 0; i < rounds; ++i) socket.sendall(bytes);
    };
    const auto receive = [&](Socket& socket, const std::string& bytes) {
        for (int i = 0; i < rounds; ++i) {
            BufferedReader reader{socket, 0};
            if (reader.read(bytes.size()) != bytes) ++wrong;
        }
    };
    {
        std::jthread a{[&] { send(pair.near, of_near); }};
        std::jthread b{[&] { send(pair.far, of_far); }};
        std::jthread c{[&] { receive(pair.near, of_far); }};
        std::jthread d{[&] { receive(pair.far, of_near); }};
    }
    CHECK(wrong == 0);
}

TEST_CASE("who sends to a peer that changes its keys meanwhile") {
    const TimeLimit limit;
    const Contexts contexts;
    Pair pair = tls_pair(contexts, tcp_pair());
    const std::string much = pattern(std::size_t{4} << 20, 3);
    // The server sends more than the kernel takes; the client asks for new keys before it reads.
    std::jthread sender{[&] { pair.near.sendall(much); }};
    std::string received_by_server;
    std::jthread receiver{[&] { received_by_server = pair.near.recv(100); }};
    REQUIRE(SSL_key_update(TLSConnection{pair.far}.native_handle(), SSL_KEY_UPDATE_REQUESTED) == 1);
    pair.far.sendall("new keys");
    receiver.join();
    CHECK(received_by_server == "new keys");
    CHECK(BufferedReader(pair.far, 0).read(much.size()) == much);
    sender.join();
    pair.near.sendall("with the new ones");
    CHECK(pair.far.recv(100) == "with the new ones");
}

TEST_CASE("the end of the stream is announced") {
    const TimeLimit limit;
    const Contexts contexts;
    Pair pair = tls_pair(contexts, some_pair());
    SECTION("by close()") {
        pair.near.sendall("last words");
        pair.near.close();
        CHECK(pair.far.recv(100) == "last words");
        CHECK(pair.far.recv(100).empty());
        CHECK(pair.far.recv(100).empty());
    }
    SECTION("by shutdown(), after which the other direction goes on") {
        pair.near.shutdown(ShutdownHow::write);
        CHECK(pair.far.recv(100).empty());
        CHECK(error_of([&] { pair.near.sendall("too late"); }) == EPIPE);
        pair.far.sendall("still here");
        CHECK(pair.near.recv(100) == "still here");
        pair.far.close();
        CHECK(pair.near.recv(100).empty());
    }
}

TEST_CASE("an end that was not announced is an exception, unless the context takes it") {
    const TimeLimit limit;
    Contexts contexts;
    const bool suppress = GENERATE(false, true);
    contexts.server.suppress_ragged_eofs(suppress);
    Pair pair = tls_pair(contexts, some_pair());
    pair.far.sendall("half a mess");
    ::shutdown(pair.far.fileno(), SHUT_WR);
    CHECK(pair.near.recv(100) == "half a mess");
    if (suppress) {
        CHECK(pair.near.recv(100).empty());
    } else {
        CHECK_THROWS_AS(pair.near.recv(100), SSLEOFError);
        CHECK(pair.near.peer_gone());
        CHECK(text_of([&] { pair.near.recv(100); }) ==
              "recv: the peer ended the connection without close_notify");
    }
}

TEST_CASE("what a client sent before it left is received") {
    const TimeLimit limit;
    const Contexts contexts;
    Pair pair = tcp_pair();
    std::jthread client{[&] {
        start_tls(pair.far, contexts.client, "localhost", patience);
        pair.far.sendall("a request");
        pair.far.close();  // has not read the tickets, and will reset the connection for them
    }};
    start_tls(pair.near, contexts.server, {}, patience);
    client.join();
    CHECK(pair.near.recv(100) == "a request");
    CHECK(pair.near.recv(100).empty());
}

TEST_CASE("bytes that are none of TLS are an exception, and stay one") {
    const TimeLimit limit;
    const Contexts contexts;
    Pair pair = tls_pair(contexts, some_pair());
    send_raw(pair.far, "this is no record of TLS, and must not be taken for one");
    CHECK_THROWS_AS(pair.near.recv(100), SSLError);
    // OpenSSL 3.0, and 3.5.
    CHECK_THAT(text_of([&] { pair.near.recv(100); }),
               ContainsSubstring("recv: TLS: wrong version") ||
                   ContainsSubstring("recv: TLS: bad record type"));
    CHECK_THROWS_AS(pair.near.sendall("x"), SSLError);
    CHECK_THROWS_AS(pair.far.recv(100), SSLError);  // an alert
}

TEST_CASE("a timeout holds for an operation as a whole") {
    const TimeLimit limit;
    const Contexts contexts;
    Pair pair = tls_pair(contexts, some_pair());
    pair.near.settimeout(100ms);
    const Stopwatch watch;
    SECTION("of receiving") {
        CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
        CHECK(watch.elapsed() >= 100ms);
    }
    SECTION("of receiving from who sends a part of a record now and then") {
        std::atomic<bool> stop{false};
        std::jthread drip{[&] {
            send_raw(pair.far, {"\x17\x03\x03\x10\x00", 5});
            while (!stop && ::send(pair.far.fileno(), "x", 1, MSG_NOSIGNAL) == 1) {
                std::this_thread::sleep_for(10ms);
            }
        }};
        CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
        stop = true;
        CHECK(watch.elapsed() < 5s);
    }
    SECTION("of sending to who does not receive") {
        const std::string much(std::size_t{32} << 20, 'x');
        CHECK_THROWS_AS(pair.near.sendall(much), TimeoutError);
        CHECK(watch.elapsed() >= 100ms);
    }
    SECTION("zero does not wait") {
        pair.near.settimeout(0ms);
        CHECK(error_of([&] { pair.near.recv(1); }) == EAGAIN);
        std::string much = pattern(std::size_t{16} << 20, 5);
        std::string_view left = much;
        CHECK(error_of([&] {
                  while (!left.empty()) left.remove_prefix(pair.near.send(left));
              }) == EAGAIN);
        CHECK(left.size() < much.size());
        pair.near.settimeout(patience);
        SECTION("and goes on with the same bytes") {
            std::jthread rest{[&] { pair.near.sendall(left); }};
            CHECK(BufferedReader(pair.far, 0).read(much.size()) == much);
        }
        SECTION("and takes no others, of which the peer could not tell") {
            CHECK_THROWS_AS(pair.near.sendall("others"), SSLError);
        }
    }
}

TEST_CASE("a file is sent encrypted") {
    const TimeLimit limit;
    const Contexts contexts;
    const TemporaryFolder folder;
    Pair pair = tls_pair(contexts, some_pair());
    const std::string bytes = pattern(300000, 4);
    const std::string path = write_file(folder / "file", bytes);
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(file != -1);
    std::jthread sender{[&] {
        pair.near.sendfile(file, 1000);
        pair.near.close();
    }};
    CHECK(BufferedReader(pair.far).read() == bytes.substr(1000));
    sender.join();
    ::close(file);
}

TEST_CASE("a socket that speaks TLS is moved with its keys") {
    const TimeLimit limit;
    const Contexts contexts;
    Pair pair = tls_pair(contexts, some_pair());
    Socket moved = std::move(pair.near);
    CHECK_FALSE(is_tls(pair.near));
    moved.sendall("moved");
    CHECK(pair.far.recv(100) == "moved");
    CHECK_THROWS_AS(start_tls(moved, contexts.server), SSLError);
    CHECK_THROWS_AS(TLSConnection{pair.near}, SSLError);
}

TEST_CASE("output that is held back is sent before input is waited for") {
    const TimeLimit limit;
    const Contexts contexts;
    Pair pair = tls_pair(contexts, some_pair());
    BufferedWriter writer{pair.near, 4096};
    writer.write("held ");
    writer.write("back");
    std::jthread client{[&] {
        if (pair.far.recv(100) == "held back") pair.far.sendall("seen");
    }};
    CHECK(pair.near.recv(100) == "seen");
}

TEST_CASE("the server's certificate has to be for the name, by someone who is trusted") {
    const TimeLimit limit;
    const Contexts contexts;
    const auto try_as = [&](const SSLContext& client, const std::string& name) {
        Pair pair = tcp_pair();
        std::string at_client;
        std::jthread far{[&] {
            at_client = error_of_tls(pair.far, client, name);
            pair.far.close();
        }};
        const std::string at_server = error_of_tls(pair.near, contexts.server);
        far.join();
        return std::pair{at_client, at_server};
    };
    CHECK(try_as(contexts.client, "localhost").first.empty());
    CHECK(try_as(contexts.client, "127.0.0.1").first.empty());
    CHECK_THAT(try_as(contexts.client, "example.org").first, ContainsSubstring("ostname mismatch"));
    CHECK_THAT(try_as(contexts.client, "127.0.0.2").first,
               ContainsSubstring("IP address mismatch"));
    CHECK_THAT(try_as(contexts.client, "").first, ContainsSubstring("is not given"));
    const SSLContext stranger{TLSPurpose::client};
    const auto [at_client, at_server] = try_as(stranger, "localhost");
    CHECK_THAT(at_client, ContainsSubstring("certificate verify failed"));
    CHECK_THAT(at_server, ContainsSubstring("unknown ca"));
}

TEST_CASE("what the handshake came to can be read") {
    const TimeLimit limit;
    Contexts contexts;
    contexts.server.load_verify_locations_from_memory(pem_of(contexts.authority));
    contexts.server.verify_mode(VerifyMode::required);
    contexts.server.set_alpn_protocols({"lines"});
    contexts.client.set_alpn_protocols({"lines"});
    const Certificate alice = make_certificate(
        {.common_name = "alice", .names = "DNS:alice.example.org,email:alice@example.org"},
        &contexts.authority);
    contexts.client.load_cert_chain_from_memory(pem_of(alice), key_pem_of(alice));
    Pair pair = tls_pair(contexts, tcp_pair());
    const TLSConnection near{pair.near};
    CHECK(near.version() == "TLSv1.3");
    CHECK_FALSE(near.cipher().empty());
    CHECK(near.selected_alpn_protocol() == "lines");
    CHECK(near.server_hostname() == "localhost");
    CHECK_FALSE(near.session_reused());
    const std::optional<PeerCertificate> peer = near.getpeercert();
    REQUIRE(peer);
    CHECK(peer->subject == "CN=alice");
    CHECK(peer->common_name == "alice");
    CHECK(peer->issuer == "CN=test authority");
    CHECK(peer->names ==
          std::vector<std::string>{"DNS:alice.example.org", "email:alice@example.org"});
    CHECK(peer->fingerprint.size() == 64);
    CHECK(peer->not_before < std::chrono::system_clock::now());
    CHECK(peer->not_after > std::chrono::system_clock::now() + 23h);
    CHECK(TLSConnection{pair.far}.getpeercert()->common_name == "localhost");
}

TEST_CASE("a handshake that fails says why") {
    const TimeLimit limit;
    Contexts contexts;
    Pair pair = tcp_pair();
    const auto failure = [&](std::chrono::nanoseconds timeout = patience) {
        try {
            start_tls(pair.near, contexts.server, {}, timeout);
        } catch (const HandshakeError& error) {
            CHECK(error.server_side());
            return error.reason();
        }
        return HandshakeFailure::other;
    };
    SECTION("HTTP") {
        send_raw(pair.far, "GET / HTTP/1.0\r\n\r\n");
        CHECK(failure() == HandshakeFailure::not_tls);
    }
    SECTION("garbage") {
        send_raw(pair.far, "\x80 is the first byte of nothing in particular");
        CHECK(failure() == HandshakeFailure::not_tls);
    }
    SECTION("the client says nothing") {
        const Stopwatch watch;
        CHECK(failure(50ms) == HandshakeFailure::timed_out);
        CHECK(watch.elapsed() >= 50ms);
    }
    SECTION("the client sends a byte now and then") {
        std::atomic<bool> stop{false};
        std::jthread drip{[&] {
            send_raw(pair.far, {"\x16\x03\x01\x10\x00", 5});
            while (!stop && ::send(pair.far.fileno(), "x", 1, MSG_NOSIGNAL) == 1) {
                std::this_thread::sleep_for(10ms);
            }
        }};
        CHECK(failure(100ms) == HandshakeFailure::timed_out);
        stop = true;
    }
    SECTION("the client goes away") {
        pair.far.close();
        CHECK(failure() == HandshakeFailure::client_closed);
        CHECK(pair.near.peer_gone());
    }
    SECTION("the client resets the connection in the midst") {
        send_raw(pair.far, {"\x16\x03\x01\x10\x00\x01", 6});
        reset(pair.far);
        CHECK(failure() == HandshakeFailure::client_closed);
    }
    SECTION("no shared version, no shared cipher, no certificate, a wrong one") {
        HandshakeFailure expected{};
        SECTION("version") {
            contexts.client.maximum_version(TLSVersion::TLSv1_2);
            contexts.server.minimum_version(TLSVersion::TLSv1_3);
            expected = HandshakeFailure::no_shared_version;
        }
        SECTION("cipher") {
            contexts.client.maximum_version(TLSVersion::TLSv1_2);
            contexts.client.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256");
            expected = HandshakeFailure::no_shared_cipher;
        }
        SECTION("no certificate") {
            contexts.server.verify_mode(VerifyMode::required);
            expected = HandshakeFailure::no_certificate;
        }
        SECTION("a wrong one") {
            contexts.server.verify_mode(VerifyMode::required);
            const Certificate self_made = make_certificate({.common_name = "eve"});
            contexts.client.load_cert_chain_from_memory(pem_of(self_made), key_pem_of(self_made));
            expected = HandshakeFailure::wrong_certificate;
        }
        SECTION("the server is not trusted") {
            contexts.client = SSLContext{TLSPurpose::client};
            expected = HandshakeFailure::peer_refused;
        }
        std::jthread client{[&] {
            error_of_tls(pair.far, contexts.client, "localhost");
            text_of([&] { pair.far.recv(1); });  // with TLS 1.3 the client hears of it here
        }};
        CHECK(failure() == expected);
        pair.near.close();
    }
    // Nothing passes in plain text afterwards.
    if (pair.near.is_open()) {
        CHECK_THROWS_AS(pair.near.sendall("secret"), SSLError);
        CHECK_THROWS_AS(pair.near.recv(1), SSLError);
    }
}

TEST_CASE("STARTTLS refuses what was sent before it") {
    const TimeLimit limit;
    const Contexts contexts;
    Pair pair = tcp_pair();
    BufferedReader reader{pair.near};
    BufferedWriter writer{pair.near, 4096};
    SECTION("in order") {
        pair.far.sendall("STARTTLS\r\n");
        CHECK(reader.readline() == "STARTTLS\r\n");
        writer.write("220 go ahead\r\n");  // held back until start_tls()
        std::string answer;
        std::string secret;
        std::jthread client{[&] {
            answer = pair.far.recv(100);
            start_tls(pair.far, contexts.client, "localhost", patience);
            secret = pair.far.recv(100);
        }};
        start_tls(pair.near, reader, contexts.server, patience);
        writer.write("250 hello\r\n");
        writer.flush();
        client.join();
        CHECK(answer == "220 go ahead\r\n");
        CHECK(secret == "250 hello\r\n");
    }
    SECTION("a command behind it") {
        pair.far.sendall("STARTTLS\r\nRCPT TO:<injected@example.org>\r\n");
        CHECK(reader.readline() == "STARTTLS\r\n");
        CHECK_THAT(text_of([&] { start_tls(pair.near, reader, contexts.server); }),
                   ContainsSubstring("bytes more than its command"));
        CHECK_FALSE(is_tls(pair.near));
    }
    SECTION("a command that has not been received yet is no part of TLS") {
        pair.far.sendall("STARTTLS\r\n");
        CHECK(reader.readline() == "STARTTLS\r\n");
        pair.far.sendall("RCPT TO:<injected@example.org>\r\n");
        CHECK_THROWS_AS(start_tls(pair.near, reader, contexts.server, patience), HandshakeError);
    }
}
