// SPDX-License-Identifier: MIT
// The server's side of a TLS connection, given any bytes in any pieces: as the handshake, or after
// a handshake that a client of OpenSSL has made, with its records changed on the way. The handler
// gets what the client sent up to the first change, byte for byte, and an end only if the client
// said so.
#include <socketserver/errors.hpp>
#include <socketserver/socket.hpp>
#include <socketserver/tls.hpp>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "require.hpp"
#include "script.hpp"
#include "support/certificates.hpp"

namespace {

using fuzz::require;
using fuzz::Script;
namespace ss = socketserver;
namespace tests = socketserver::tests;

/// The client's end of a socket that keeps the bounds of what is sent: a piece of the stream is
/// what one receive of the server returns.
class Wire {
  public:
    Wire(ss::Socket socket, std::size_t piece_size)
        : socket_{std::move(socket)}, piece_size_{piece_size == 0 ? 60'000 : piece_size} {}

    /// Sends all of it, or as much as the server takes before it goes, and receives meanwhile.
    void send(std::string_view bytes) {
        while (!bytes.empty()) {
            const short ready = wait(POLLIN | POLLOUT);
            if ((ready & POLLIN) != 0 && receive() == 0) return;
            if ((ready & (POLLOUT | POLLHUP | POLLERR)) == 0) continue;
            const std::string_view piece = bytes.substr(0, piece_size_);
            const ssize_t sent =
                ::send(socket_.fileno(), piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent == -1 && errno == EAGAIN) continue;
            if (sent == -1) return;
            bytes.remove_prefix(piece.size());
        }
    }
    /// Waits for more; false: the end.
    bool receive_more() {
        wait(POLLIN);
        return receive() > 0;
    }
    void end_output() { ::shutdown(socket_.fileno(), SHUT_WR); }
    std::string take_received() { return std::exchange(received_, {}); }

  private:
    short wait(short events) const {
        pollfd waited{.fd = socket_.fileno(), .events = events, .revents = 0};
        int found = -1;
        do {  // libFuzzer has a timer of its own
            found = ::poll(&waited, 1, 20'000);
        } while (found == -1 && errno == EINTR);
        require(found == 1, "the server neither receives nor ends");
        return waited.revents;
    }
    /// 0: the end.
    std::size_t receive() {
        thread_local std::vector<char> buffer(300'000);
        ssize_t got = -1;
        do {  // a server that goes without having read all resets; what it sent is there all the
              // same
            got = ::recv(socket_.fileno(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        } while (got == -1 && errno == ECONNRESET);
        if (got == -1 && errno == EAGAIN) return 1;
        require(got != -1, "recv");
        received_.append(buffer.data(), static_cast<std::size_t>(got));
        return static_cast<std::size_t>(got);
    }

    ss::Socket socket_;
    std::size_t piece_size_;
    std::string received_{};
};

enum class End : unsigned char { in_order, no_handshake, truncated, broken };

/// What the server's side has come to.
struct Served {
    std::string received{};
    End end{};
};

/// Echoes what comes, in a thread of its own.
class Server {
  public:
    Server(ss::Socket socket, const ss::SSLContext& context, std::size_t read_size)
        : thread_{[this, connection = std::move(socket), &context, read_size]() mutable {
              serve(std::move(connection), context, read_size);
          }} {}
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    const Served& join() {
        thread_.join();
        return served_;
    }

  private:
    void serve(ss::Socket connection, const ss::SSLContext& context, std::size_t read_size) {
        try {
            ss::start_tls(connection, context, {}, std::chrono::seconds{20});
            for (;;) {
                const std::string part = connection.recv(read_size);
                if (part.empty()) break;
                served_.received += part;
                connection.sendall(part);
            }
            served_.end = End::in_order;
        } catch (const ss::HandshakeError&) {
            served_.end = End::no_handshake;
        } catch (const ss::SSLEOFError&) {
            served_.end = End::truncated;
        } catch (const ss::SSLError&) {
            served_.end = End::broken;
        }
    }

    Served served_{};
    std::jthread thread_;
};

/// A client of OpenSSL alone, over memory.
class Client {
  public:
    explicit Client(const ss::SSLContext& context)
        : ssl_{SSL_new(context.native_handle()), SSL_free},
          input_{BIO_new(BIO_s_mem())},
          output_{BIO_new(BIO_s_mem())} {
        SSL_set_bio(ssl_.get(), input_, output_);
        SSL_set_connect_state(ssl_.get());
    }
    void shake_hands(Wire& wire) {
        while (SSL_do_handshake(ssl_.get()) != 1) {
            wire.send(take_output());
            require(wire.receive_more(), "the server ends a good handshake");
            give(wire.take_received());
        }
        wire.send(take_output());
    }
    /// The record, or the records, that it becomes.
    std::string encrypt(std::string_view text) {
        require(SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) > 0, "SSL_write");
        return take_output();
    }
    std::string close_notify() {
        SSL_shutdown(ssl_.get());
        return take_output();
    }
    std::string decrypt(const std::string& records) {
        give(records);
        std::string text;
        char part[4096];
        for (int got = 1; got > 0;) {
            got = SSL_read(ssl_.get(), part, sizeof part);
            if (got > 0) text.append(part, static_cast<std::size_t>(got));
        }
        ERR_clear_error();
        return text;
    }

  private:
    void give(const std::string& bytes) {
        if (!bytes.empty()) BIO_write(input_, bytes.data(), static_cast<int>(bytes.size()));
    }
    std::string take_output() {
        std::string bytes(BIO_ctrl_pending(output_), '\0');
        if (!bytes.empty()) BIO_read(output_, bytes.data(), static_cast<int>(bytes.size()));
        return bytes;
    }

    std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
    BIO* input_;  // ssl_ owns both
    BIO* output_;
};

struct Record {
    std::string bytes{};
    std::string text{};
    bool is_end = false;
};

/// What goes over the wire instead of the records.
std::string change(const std::vector<Record>& records, Script& script) {
    std::vector<std::string> changed;
    for (const Record& each : records) changed.push_back(each.bytes);
    std::string stream;
    for (std::size_t i = 0; i < changed.size(); ++i) {
        std::string& bytes = changed[i];
        switch (script.next() % 16) {
            case 1:  // another byte
                bytes[script.next() * bytes.size() / 256] ^= static_cast<char>(script.next());
                break;
            case 2:  // another byte of what stands in front of it
                bytes[script.next() % 5] = static_cast<char>(script.next());
                break;
            case 3:
                bytes.clear();
                break;
            case 4:
                bytes += bytes;
                break;
            case 5:
                if (i + 1 < changed.size()) std::swap(bytes, changed[i + 1]);
                break;
            case 6:
                bytes.resize(script.next() * bytes.size() / 256);
                break;
            case 7:
                bytes.insert(0, script.rest().substr(0, 64));
                break;
            default:
                break;
        }
        stream += bytes;
    }
    return stream;
}

struct Contexts {
    ss::SSLContext server{ss::TLSPurpose::server};
    ss::SSLContext lenient_server{ss::TLSPurpose::server};
    ss::SSLContext client{ss::TLSPurpose::client};
    ss::SSLContext older_client{ss::TLSPurpose::client};

    Contexts() {
        const tests::Certificate own = tests::make_certificate();
        for (ss::SSLContext* each : {&server, &lenient_server}) {
            each->load_cert_chain_from_memory(tests::pem_of(own), tests::key_pem_of(own));
        }
        lenient_server.suppress_ragged_eofs(true);
        client.verify_mode(ss::VerifyMode::none);
        older_client.verify_mode(ss::VerifyMode::none);
        older_client.maximum_version(ss::TLSVersion::TLSv1_2);
    }
};

void send_any_bytes(Server& server, Wire& wire, std::string_view bytes) {
    wire.send(bytes);
    wire.end_output();
    const Served& served = server.join();
    require(served.end == End::no_handshake, "nobody can make a handshake without a key");
    require(served.received.empty(), "nothing is received without a handshake");
}

void send_changed_records(Server& server, Wire& wire, const ss::SSLContext& context, bool says_end,
                          bool is_lenient, Script& script) {
    Client client{context};
    client.shake_hands(wire);
    std::vector<Record> records;
    const std::size_t count = script.next() % 8;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t size = 1 + script.next() * 8;
        std::string text;
        for (std::size_t at = 0; at < size; ++at) {
            text += static_cast<char>('a' + (at + i * 7) % 26);
        }
        records.push_back({client.encrypt(text), text, false});
    }
    if (says_end) records.push_back({client.close_notify(), {}, true});
    const std::string stream = change(records, script);
    wire.send(stream);
    wire.end_output();
    while (wire.receive_more()) continue;
    const Served& served = server.join();

    // Records of which the server has got each byte, with nothing else in between.
    std::string text;
    std::string_view left = stream;
    bool is_whole = true;
    bool is_ended = false;
    for (const Record& each : records) {
        is_whole = left.starts_with(each.bytes);
        if (!is_whole) break;
        left.remove_prefix(each.bytes.size());
        text += each.text;
        is_ended = is_ended || each.is_end;
    }
    require(served.received == text, "the handler gets what was sent, up to the first change");
    require(client.decrypt(wire.take_received()) == text, "the client gets its own back");
    if (is_ended) {
        require(served.end == End::in_order, "an announced end");
    } else if (is_whole && left.empty()) {
        require(served.end == (is_lenient ? End::in_order : End::truncated), "an end without");
    } else {
        require(served.end == End::broken || served.end == End::truncated ||
                    (is_lenient && served.end == End::in_order),
                "a change is no end in order");
    }
}

}  // namespace

/// The first byte says what is tried, the second the size of pieces, the third how much is received
/// at once.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Contexts contexts;
    if (size < 3) return 0;
    const std::size_t choice = data[0];
    const bool is_lenient = (choice & 2) != 0;
    const std::string_view rest{reinterpret_cast<const char*>(data) + 3, size - 3};
    auto [near, far] = tests::unix_pair(SOCK_SEQPACKET);
    Wire wire{std::move(far), data[1]};
    Server server{std::move(near), is_lenient ? contexts.lenient_server : contexts.server,
                  1 + std::size_t{data[2]} * 32};
    if ((choice & 1) == 0) {
        send_any_bytes(server, wire, rest);
        return 0;
    }
    Script script{rest};
    send_changed_records(server, wire, (choice & 4) != 0 ? contexts.older_client : contexts.client,
                         (choice & 8) != 0, is_lenient, script);
    return 0;
}
