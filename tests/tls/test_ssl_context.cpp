// SPDX-License-Identifier: MIT
#include "socketserver/ssl_context.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "socketserver/errors.hpp"
#include "support/catch.hpp"
#include "support/certificates.hpp"
#include "support/connected_sockets.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::ContainsSubstring;

SSLContext server_context() { return SSLContext{TLSPurpose::server}; }

/// What the two sides of a handshake in memory come to.
struct Outcome {
    bool done = false;
    std::string common_name{};  // of the certificate that the server showed
    std::string version{};
    std::string alpn{};
    bool resumed = false;
    std::string server_error{};
    std::shared_ptr<SSL_SESSION> session{};
};

std::string common_name_of(X509* certificate) {
    char name[64] = "";
    if (certificate != nullptr) {
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name,
                                  sizeof name);
        X509_free(certificate);
    }
    return name;
}

std::string last_reason() {
    const char* reason = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    return reason == nullptr ? "" : reason;
}

struct HandshakeWish {
    std::string server_name{};
    std::shared_ptr<SSL_SESSION> session{};
    bool verifies = false;
};

/// OpenSSL alone, over memory: what a context of ours makes of a client.
Outcome shake_hands(const SSLContext& server, const SSLContext& client,
                    const HandshakeWish& wish = {}) {
    const std::shared_ptr<SSL> near{SSL_new(server.native_handle()), SSL_free};
    const std::shared_ptr<SSL> far{SSL_new(client.native_handle()), SSL_free};
    BIO* one = nullptr;
    BIO* other = nullptr;
    of_certificates::require(BIO_new_bio_pair(&one, 0, &other, 0) == 1, "BIO pair");
    SSL_set_bio(near.get(), one, one);
    SSL_set_bio(far.get(), other, other);
    SSL_set_accept_state(near.get());
    SSL_set_connect_state(far.get());
    if (!wish.verifies) SSL_set_verify(far.get(), SSL_VERIFY_NONE, nullptr);
    if (!wish.server_name.empty()) {
        std::string name = wish.server_name;  // what the macro of OpenSSL does, without its cast
        SSL_ctrl(far.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
    }
    if (wish.session) SSL_set_session(far.get(), wish.session.get());
    Outcome outcome;
    ERR_clear_error();
    for (int turn = 0; turn < 20; ++turn) {
        const int at_client = SSL_do_handshake(far.get());
        ERR_clear_error();
        const int at_server = SSL_do_handshake(near.get());
        const int error = SSL_get_error(near.get(), at_server);
        if (at_server != 1 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            outcome.server_error = last_reason();
            return outcome;
        }
        if (at_client == 1 && at_server == 1) {
            outcome.done = true;
            break;
        }
    }
    if (!outcome.done) return outcome;
    char byte = 0;
    SSL_read(far.get(), &byte, 1);  // takes the tickets
    ERR_clear_error();
    outcome.common_name = common_name_of(SSL_get1_peer_certificate(far.get()));
    outcome.version = SSL_get_version(far.get());
    outcome.resumed = SSL_session_reused(far.get()) == 1;
    outcome.session.reset(SSL_get1_session(far.get()), SSL_SESSION_free);
    const unsigned char* alpn = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(near.get(), &alpn, &size);
    if (size > 0) outcome.alpn.assign(reinterpret_cast<const char*>(alpn), size);
    // A session whose connection was not ended in order is not resumed.
    SSL_shutdown(far.get());
    return outcome;
}

SSLContext lax_client() {
    SSLContext client{TLSPurpose::client};
    client.verify_mode(VerifyMode::none);
    return client;
}

void load(SSLContext& context, const Certificate& certificate) {
    context.load_cert_chain_from_memory(pem_of(certificate), key_pem_of(certificate));
}

/// That `check` holds in a child which was forked before `change` is made in this process.
void check_in_earlier_child(const std::function<bool()>& check,
                            const std::function<void()>& change) {
    std::array<int, 2> told{};
    REQUIRE(::pipe(told.data()) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(20);  // ends it
        char byte{};
        if (::read(told[0], &byte, 1) != 1) ::_exit(2);
        ::_exit(check() ? 0 : 1);
    }
    change();
    CHECK(::write(told[1], "x", 1) == 1);
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    ::close(told[0]);
    ::close(told[1]);
}

}  // namespace

TEST_CASE("a certificate that cannot be used is refused with the file and the reason") {
    const TemporaryFolder folder;
    const Certificate good = make_certificate();
    const Certificate other = make_certificate();
    const std::string cert = write_file(folder / "cert.pem", pem_of(good));
    const std::string key = write_file(folder / "key.pem", key_pem_of(good));
    SSLContext context = server_context();
    const auto refusal = [&](const std::string& certfile, const std::string& keyfile,
                             const std::optional<std::string>& password = {}) {
        CHECK_THROWS_AS(context.load_cert_chain(certfile, keyfile, password), SSLError);
        return text_of([&] { context.load_cert_chain(certfile, keyfile, password); });
    };

    SECTION("a file that is not there") {
        CHECK(refusal(folder / "none.pem", key) ==
              (folder / "none.pem") + ": No such file or directory");
        CHECK(refusal(cert, folder / "none.pem") ==
              (folder / "none.pem") + ": No such file or directory");
        CHECK(error_of([&] { context.load_cert_chain(folder / "none.pem"); }) == ENOENT);
    }
    SECTION("a folder") {
        CHECK(refusal(folder / ".", key) == (folder / ".") + ": Is a directory");
    }
    SECTION("no certificate, no key") {
        const std::string empty = write_file(folder / "empty.pem", "nothing of use\n");
        CHECK(refusal(empty, key) == empty + ": no certificate is in it");
        CHECK(refusal(cert, empty) == empty + ": no private key is in it");
        CHECK(refusal(cert, {}) == cert + ": no private key is in it");
    }
    SECTION("garbage") {
        std::string text = pem_of(good);
        text.replace(text.size() / 2, 8, "????????");
        const std::string broken = write_file(folder / "broken.pem", text);
        CHECK_THAT(refusal(broken, key),
                   ContainsSubstring(broken + ": a certificate cannot be read"));
        text = key_pem_of(good);
        text.replace(text.size() / 2, 8, "????????");
        const std::string broken_key = write_file(folder / "broken_key.pem", text);
        CHECK_THAT(refusal(cert, broken_key),
                   ContainsSubstring(broken_key + ": the private key cannot be read"));
    }
    SECTION("the key of another certificate") {
        const std::string wrong = write_file(folder / "wrong.pem", key_pem_of(other));
        CHECK(refusal(cert, wrong) ==
              wrong + ": the key does not belong to the certificate of " + cert);
    }
    SECTION("expired, and not valid yet") {
        const Certificate old = make_certificate({.valid_from = -7200, .valid_until = -60});
        const std::string file = write_file(folder / "old.pem", pem_of(old) + key_pem_of(old));
        CHECK_THAT(refusal(file, {}), ContainsSubstring(file + ": the certificate expired at "));
        const Certificate early = make_certificate({.valid_from = 7200});
        const std::string coming =
            write_file(folder / "early.pem", pem_of(early) + key_pem_of(early));
        CHECK_THAT(refusal(coming, {}),
                   ContainsSubstring(coming + ": the certificate is not valid before "));
    }
    SECTION("a password") {
        const std::string secret = write_file(folder / "secret.pem", key_pem_of(good, "sesame"));
        CHECK(refusal(cert, secret) == secret + ": the key has a password, and none was given");
        CHECK(refusal(cert, secret, "simsalabim") == secret + ": the password of the key is wrong");
        context.load_cert_chain(cert, secret, "sesame");
    }
    SECTION("a key that is too weak") {
        const Certificate weak = make_certificate({.rsa_bits = 1024});
        const std::string file = write_file(folder / "weak.pem", pem_of(weak) + key_pem_of(weak));
        CHECK_THAT(refusal(file, {}), ContainsSubstring(file + ": ee key too small"));
    }
    SECTION("what was loaded before stays") {
        context.load_cert_chain(cert, key);
        refusal(folder / "none.pem", key);
        CHECK(shake_hands(context, lax_client()).done);
    }
}

TEST_CASE("a chain is shown, and verified by who knows its authority only") {
    const Certificate root = make_authority("root");
    const Certificate middle =
        make_certificate({.common_name = "middle", .names = {}, .is_authority = true}, &root);
    const Certificate leaf = make_certificate({.common_name = "leaf"}, &middle);
    SSLContext server = server_context();
    SSLContext client{TLSPurpose::client};
    CHECK(client.verify_mode() == VerifyMode::required);
    CHECK(client.check_hostname());
    client.load_verify_locations_from_memory(pem_of(root));

    server.load_cert_chain_from_memory(pem_of(leaf) + pem_of(middle), key_pem_of(leaf));
    CHECK(shake_hands(server, client, {.verifies = true}).common_name == "leaf");

    server.load_cert_chain_from_memory(pem_of(leaf), key_pem_of(leaf));
    CHECK_FALSE(shake_hands(server, client, {.verifies = true}).done);
}

TEST_CASE("authorities that cannot be read are refused") {
    const TemporaryFolder folder;
    SSLContext client{TLSPurpose::client};
    CHECK_THROWS_AS(client.load_verify_locations(folder / "none.pem"), SSLError);
    CHECK_THROWS_AS(client.load_verify_locations({}), SSLError);
    const std::string empty = write_file(folder / "empty.pem", "");
    CHECK(text_of([&] { client.load_verify_locations(empty); }) ==
          empty + ": no certificate is in it");
    const std::string cafile = write_file(folder / "ca.pem", pem_of(make_authority()));
    client.load_verify_locations(cafile, folder / ".");
}

TEST_CASE("what is spoken by default") {
    SSLContext server = server_context();
    load(server, make_certificate());
    SSL_CTX* const native = server.native_handle();
    CHECK(server.purpose() == TLSPurpose::server);
    CHECK(server.minimum_version() == TLSVersion::TLSv1_2);
    CHECK(server.maximum_version() == TLSVersion::TLSv1_3);
    CHECK(server.verify_mode() == VerifyMode::none);
    CHECK(SSL_CTX_get_security_level(native) >= 2);
    CHECK((SSL_CTX_get_options(native) & SSL_OP_NO_COMPRESSION) != 0);
    CHECK((SSL_CTX_get_options(native) & SSL_OP_NO_RENEGOTIATION) != 0);
    CHECK((SSL_CTX_get_options(native) & SSL_OP_CIPHER_SERVER_PREFERENCE) == 0);
    CHECK((static_cast<unsigned long>(SSL_CTX_get_mode(native)) & SSL_MODE_RELEASE_BUFFERS) != 0);

    CHECK(shake_hands(server, lax_client()).version == "TLSv1.3");
    SSLContext older = lax_client();
    older.maximum_version(TLSVersion::TLSv1_2);
    CHECK(shake_hands(server, older).version == "TLSv1.2");
    // A client that speaks nothing newer than TLS 1.1, at a level of security that has it.
    SSLContext oldest = lax_client();
    SSL_CTX_set_security_level(oldest.native_handle(), 0);
    SSL_CTX_set_min_proto_version(oldest.native_handle(), TLS1_1_VERSION);
    SSL_CTX_set_max_proto_version(oldest.native_handle(), TLS1_1_VERSION);
    CHECK(shake_hands(server, oldest).server_error == "unsupported protocol");

    server.minimum_version(TLSVersion::TLSv1_3);
    CHECK(server.minimum_version() == TLSVersion::TLSv1_3);
    CHECK_FALSE(shake_hands(server, older).done);
}

TEST_CASE("ciphers of TLS 1.2") {
    SSLContext server = server_context();
    load(server, make_certificate());
    server.maximum_version(TLSVersion::TLSv1_2);
    server.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256");
    SSLContext client = lax_client();
    CHECK(shake_hands(server, client).done);
    client.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384");
    CHECK(shake_hands(server, client).server_error == "no shared cipher");
    CHECK_THROWS_AS(server.set_ciphers("ROT13"), SSLError);
}

TEST_CASE("the server's preferred protocol is spoken above TLS") {
    SSLContext server = server_context();
    load(server, make_certificate());
    server.set_alpn_protocols({"h2", "http/1.1"});
    SSLContext client = lax_client();
    CHECK(shake_hands(server, client).alpn.empty());
    client.set_alpn_protocols({"http/1.1", "h2"});
    CHECK(shake_hands(server, client).alpn == "h2");
    client.set_alpn_protocols({"smtp"});
    const Outcome none = shake_hands(server, client);
    CHECK(none.done);
    CHECK(none.alpn.empty());
    CHECK_THROWS_AS(server.set_alpn_protocols({""}), SSLError);
    CHECK_THROWS_AS(server.set_alpn_protocols({std::string(256, 'x')}), SSLError);
}

TEST_CASE("certificates by name") {
    const TemporaryFolder folder;
    SSLContext server = server_context();
    const auto file = [&](const std::string& name) {
        const Certificate made = make_certificate({.common_name = name});
        return write_file(folder / (name + ".pem"), pem_of(made) + key_pem_of(made));
    };
    server.load_cert_chain(file("fallback"));
    server.add_cert_chain("*.example.org", file("wild"));
    server.add_cert_chain("Exact.Example.org", file("exact"));
    server.add_cert_chain("*.shop.example.org", file("shop"));
    const SSLContext client = lax_client();
    const auto shown = [&](const std::string& name) {
        return shake_hands(server, client, {.server_name = name}).common_name;
    };
    CHECK(shown("") == "fallback");
    CHECK(shown("example.org") == "fallback");
    CHECK(shown("other.org") == "fallback");
    CHECK(shown("www.example.org") == "wild");
    CHECK(shown("WWW.EXAMPLE.ORG") == "wild");
    CHECK(shown("exact.example.org") == "exact");
    CHECK(shown("a.shop.example.org") == "shop");
    CHECK(shown("a.b.shop.example.org") == "fallback");

    server.add_cert_chain("*.example.org", file("later"));
    CHECK(shown("www.example.org") == "later");
    CHECK_THROWS_AS(server.add_cert_chain("", file("none")), SSLError);
}

TEST_CASE("certificates by a callback") {
    SSLContext server = server_context();
    load(server, make_certificate({.common_name = "own"}));
    SSLContext other = server_context();
    load(other, make_certificate({.common_name = "other"}));
    std::vector<std::string> asked;
    server.sni_callback([&](std::string_view name) -> std::optional<SSLContext> {
        asked.emplace_back(name);
        if (name == "throws.example.org") throw std::runtime_error("no such name");
        if (name == "other.example.org") return other;
        return {};
    });
    const SSLContext client = lax_client();
    CHECK(shake_hands(server, client).common_name == "own");
    CHECK(shake_hands(server, client, {.server_name = "other.example.org"}).common_name == "other");
    CHECK_FALSE(shake_hands(server, client, {.server_name = "throws.example.org"}).done);
    CHECK(asked == std::vector<std::string>{"", "other.example.org", "throws.example.org"});
}

TEST_CASE("a reload shows the new certificate, or changes nothing") {
    const TemporaryFolder folder;
    const auto write = [&](const std::string& file, const std::string& name) {
        const Certificate made = make_certificate({.common_name = name});
        // As programs that renew certificates do it: readers find the old one or the new one.
        write_file(folder / "new.pem", pem_of(made) + key_pem_of(made));
        std::filesystem::rename(folder / "new.pem", folder / file);
        return folder / file;
    };
    SSLContext server = server_context();
    server.load_cert_chain(write("cert.pem", "first"));
    server.add_cert_chain("named.example.org", write("named.pem", "first named"));
    const SSLContext client = lax_client();
    const auto shown = [&](const std::string& name = {}) {
        return shake_hands(server, client, {.server_name = name}).common_name;
    };
    CHECK(shown() == "first");

    write("cert.pem", "second");
    CHECK(shown() == "first");
    server.reload();
    CHECK(shown() == "second");
    CHECK(shown("named.example.org") == "first named");

    write("cert.pem", "third");
    write_file(folder / "named.pem", "rubbish");
    CHECK(text_of([&] { server.reload(); }) ==
          (folder / "named.pem") + ": no certificate is in it");
    CHECK(shown() == "second");
    CHECK(shown("named.example.org") == "first named");

    write("named.pem", "third named");
    server.reload();
    CHECK(shown() == "third");
    CHECK(shown("named.example.org") == "third named");

    SECTION("while others shake hands") {
        std::atomic<bool> stop{false};
        std::atomic<int> failed{0};
        std::atomic<int> done{0};
        std::vector<std::jthread> threads;
        for (int i = 0; i < 2; ++i) {
            threads.emplace_back([&] {
                while (!stop) {
                    const Outcome outcome = shake_hands(server, client);
                    ++(outcome.done && outcome.common_name.starts_with("generation") ? done
                                                                                     : failed);
                }
            });
        }
        // The first ones may still see the third certificate.
        write("cert.pem", "generation");
        server.reload();
        failed = 0;
        for (int i = 0; i < 50; ++i) {
            write("cert.pem", "generation " + std::to_string(i));
            server.reload();
        }
        while (done < 10) std::this_thread::yield();
        stop = true;
        threads.clear();
        CHECK(failed <= 2);  // the two that had begun before
    }
    SECTION("a child that was forked before follows") {
        int to_child[2];
        REQUIRE(::pipe(to_child) == 0);
        const pid_t child = ::fork();
        if (child == 0) {
            char go = 0;
            if (::read(to_child[0], &go, 1) != 1) ::_exit(1);
            ::_exit(shown() == "fourth" && shown("named.example.org") == "third named" ? 0 : 2);
        }
        write("cert.pem", "fourth");
        server.reload();
        REQUIRE(::write(to_child[1], "g", 1) == 1);
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 0);
        ::close(to_child[0]);
        ::close(to_child[1]);
    }
}

TEST_CASE("sessions are resumed by tickets, whose keys can be shared and rotated") {
    const Certificate certificate = make_certificate();
    SSLContext server = server_context();
    load(server, certificate);
    SSLContext sibling = server_context();  // another process of the same service, say
    load(sibling, certificate);
    SSLContext client = lax_client();
    const TLSVersion version = GENERATE(TLSVersion::TLSv1_2, TLSVersion::TLSv1_3);
    client.maximum_version(version);
    const std::string old_key(SSLContext::ticket_key_size, 'a');
    const std::string new_key(SSLContext::ticket_key_size, 'b');

    const Outcome first = shake_hands(server, client);
    CHECK_FALSE(first.resumed);
    CHECK(shake_hands(server, client, {.session = first.session}).resumed);
    CHECK_FALSE(shake_hands(sibling, client, {.session = first.session}).resumed);

    server.set_ticket_keys({old_key});
    sibling.set_ticket_keys({old_key});
    const Outcome shared = shake_hands(server, client);
    CHECK(shake_hands(sibling, client, {.session = shared.session}).resumed);

    server.set_ticket_keys({new_key, old_key});
    const Outcome renewed = shake_hands(server, client, {.session = shared.session});
    CHECK(renewed.resumed);
    server.set_ticket_keys({new_key});
    CHECK_FALSE(shake_hands(server, client, {.session = shared.session}).resumed);
    const Outcome latest = shake_hands(server, client);
    CHECK(shake_hands(server, client, {.session = latest.session}).resumed);

    CHECK_THROWS_AS(server.set_ticket_keys({}), SSLError);
    CHECK_THROWS_AS(server.set_ticket_keys({"short"}), SSLError);
    const std::vector<std::string> many(SSLContext::most_ticket_keys + 1, new_key);
    CHECK_THROWS_AS(server.set_ticket_keys(many), SSLError);
    // What was refused has changed nothing.
    CHECK(shake_hands(server, client, {.session = latest.session}).resumed);
}

TEST_CASE("keys of tickets that are set after a fork hold in the child too") {
    const Certificate certificate = make_certificate();
    SSLContext server = server_context();
    load(server, certificate);
    const std::string old_key(SSLContext::ticket_key_size, 'a');
    const std::string new_key(SSLContext::ticket_key_size, 'b');
    server.set_ticket_keys({old_key});
    const auto is_resumed = [&] {
        SSLContext sibling = server_context();
        load(sibling, certificate);
        sibling.set_ticket_keys({new_key});
        const SSLContext client = lax_client();
        const Outcome first = shake_hands(sibling, client);
        return shake_hands(server, client, {.session = first.session}).resumed;
    };
    check_in_earlier_child(is_resumed, [&] { server.set_ticket_keys({new_key, old_key}); });
}

TEST_CASE("a client shows its certificate to a server that asks") {
    const Certificate authority = make_authority();
    SSLContext server = server_context();
    load(server, make_certificate({}, &authority));
    server.load_verify_locations_from_memory(pem_of(authority));
    server.verify_mode(VerifyMode::required);
    SSLContext client = lax_client();
    CHECK(shake_hands(server, client).server_error == "peer did not return a certificate");
    load(client, make_certificate({.common_name = "alice"}));
    CHECK(shake_hands(server, client).server_error == "certificate verify failed");
    load(client, make_certificate({.common_name = "alice"}, &authority));
    CHECK(shake_hands(server, client).done);
    server.verify_mode(VerifyMode::optional);
    CHECK(shake_hands(server, lax_client()).done);
}

TEST_CASE("a reload reads the authorities again, or changes nothing") {
    const TemporaryFolder folder;
    const Certificate first = make_authority("first");
    const Certificate second = make_authority("second");
    const std::string cafile = write_file(folder / "ca.pem", pem_of(first));
    const auto signed_by = [](const Certificate& authority) {
        return make_certificate({.common_name = "alice"}, &authority);
    };
    SSLContext server = server_context();
    load(server, make_certificate());
    server.load_verify_locations(cafile);
    server.verify_mode(VerifyMode::required);
    SSLContext of_first = lax_client();
    load(of_first, signed_by(first));
    SSLContext of_second = lax_client();
    load(of_second, signed_by(second));
    const auto both = [&] {
        return std::pair{shake_hands(server, of_first).done, shake_hands(server, of_second).done};
    };
    CHECK(both() == std::pair{true, false});

    write_file(cafile, pem_of(second));
    CHECK(both() == std::pair{true, false});
    server.reload();
    CHECK(both() == std::pair{false, true});
    write_file(cafile, pem_of(first));
    server.reload();
    CHECK(both() == std::pair{true, false});

    write_file(cafile, "rubbish");
    CHECK(text_of([&] { server.reload(); }) == cafile + ": no certificate is in it");
    CHECK(both() == std::pair{true, false});

    SECTION("what is loaded after a reload counts as well") {
        write_file(cafile, pem_of(first));
        server.reload();
        server.load_verify_locations_from_memory(pem_of(second));
        CHECK(both() == std::pair{true, true});
        server.reload();
        CHECK(both() == std::pair{true, true});
    }
    SECTION("the certificate is not reloaded either if the authorities cannot be read") {
        const auto own = [](const std::string& name) {
            const Certificate made = make_certificate({.common_name = name});
            return pem_of(made) + key_pem_of(made);
        };
        server.load_cert_chain(write_file(folder / "own.pem", own("old")));
        write_file(folder / "own.pem", own("new"));
        CHECK_THROWS_AS(server.reload(), SSLError);
        CHECK(shake_hands(server, of_first).common_name == "old");
    }
    SECTION("a child that was forked before follows") {
        check_in_earlier_child(
            [&] {
                return both() == std::pair{false, true};
            },
            [&] {
                write_file(cafile, pem_of(second));
                server.reload();
            });
    }
}

TEST_CASE("a client is told the authorities that were read last") {
    const TemporaryFolder folder;
    const std::string cafile = write_file(folder / "ca.pem", pem_of(make_authority("first")));
    SSLContext server = server_context();
    load(server, make_certificate());
    server.load_verify_locations(cafile);
    server.verify_mode(VerifyMode::optional);
    SSLContext client = lax_client();
    std::string told;
    SSL_CTX_set_cert_cb(
        client.native_handle(),
        [](SSL* ssl, void* names) {
            const STACK_OF(X509_NAME)* all = SSL_get0_peer_CA_list(ssl);
            for (int i = 0; i < sk_X509_NAME_num(all); ++i) {
                char name[64] = "";
                X509_NAME_get_text_by_NID(sk_X509_NAME_value(all, i), NID_commonName, name,
                                          sizeof name);
                static_cast<std::string*>(names)->append(name).append(";");
            }
            return 1;
        },
        &told);
    CHECK(shake_hands(server, client).done);
    CHECK(std::exchange(told, {}) == "first;");
    write_file(cafile, pem_of(make_authority("second")) + pem_of(make_authority("third")));
    server.reload();
    CHECK(shake_hands(server, client).done);
    CHECK(told == "second;third;");
}

TEST_CASE("revoked certificates") {
    const TemporaryFolder folder;
    const Certificate authority = make_authority();
    const Certificate alice = make_certificate({.common_name = "alice"}, &authority);
    const Certificate mallory = make_certificate({.common_name = "mallory"}, &authority);
    const auto trust = [&](const std::vector<Certificate>& revoked) {
        return write_file(folder / "ca.pem",
                          pem_of(authority) + make_revocation_list(authority, revoked));
    };
    SSLContext server = server_context();
    load(server, make_certificate());
    server.load_verify_locations(trust({}));
    server.verify_mode(VerifyMode::required);
    CHECK(server.verify_flags() == VerifyFlags::none);
    const VerifyFlags flags = GENERATE(VerifyFlags::crl_check_leaf, VerifyFlags::crl_check_chain);
    server.verify_flags(flags);
    CHECK(server.verify_flags() == flags);
    const auto is_served = [&](const Certificate& certificate) {
        SSLContext client = lax_client();
        load(client, certificate);
        return shake_hands(server, client).done;
    };
    CHECK(is_served(alice));
    CHECK(is_served(mallory));

    trust({mallory});
    server.reload();
    CHECK(is_served(alice));
    CHECK_FALSE(is_served(mallory));

    std::string broken = pem_of(authority) + make_revocation_list(authority, {});
    broken.replace(broken.find("X509 CRL-----\n") + 14, 4, "AAAA");
    write_file(folder / "ca.pem", broken);
    CHECK_THAT(text_of([&] { server.reload(); }),
               ContainsSubstring("ca.pem: a list of revoked certificates cannot be read"));
    CHECK_FALSE(is_served(mallory));

    write_file(folder / "ca.pem", pem_of(authority));  // no list: nobody is known to be good
    server.reload();
    CHECK_FALSE(is_served(alice));
    server.verify_flags(VerifyFlags::none);
    CHECK(is_served(mallory));
}

TEST_CASE("whether a client looks at the name") {
    SSLContext client{TLSPurpose::client};
    client.verify_mode(VerifyMode::none);
    CHECK_FALSE(client.check_hostname());
    client.check_hostname(true);
    CHECK(client.verify_mode() == VerifyMode::required);
    const SSLContext copy = client;
    client.suppress_ragged_eofs(true);
    CHECK(copy.suppress_ragged_eofs());  // a second name of the same
    CHECK(create_default_context().verify_mode() == VerifyMode::required);
}
