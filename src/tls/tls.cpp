// SPDX-License-Identifier: MIT
#include "socketserver/tls.hpp"

#include <openssl/bn.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <utility>

#include "socketserver/buffered_reader.hpp"
#include "tls/session.hpp"

namespace socketserver {

namespace {

using detail::BioPtr;
using detail::TlsSession;
using detail::X509Ptr;

std::string text_in(const BioPtr& bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<std::size_t>(size)};
}

BioPtr memory_bio() {
    BioPtr bio{BIO_new(BIO_s_mem())};
    if (!bio) detail::throw_ssl_error("read a certificate");
    return bio;
}

std::string text_of(const X509_NAME* name) {
    const BioPtr bio = memory_bio();
    X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    return text_in(bio);
}

std::string common_name_of(const X509_NAME* name) {
    const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0) return {};
    unsigned char* text = nullptr;
    const int size =
        ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (size < 0) return {};
    std::string result{reinterpret_cast<const char*>(text), static_cast<std::size_t>(size)};
    OPENSSL_free(text);
    return result;
}

std::vector<std::string> names_of(const X509* certificate) {
    std::vector<std::string> names;
    const auto free_all = [](GENERAL_NAMES* all) { GENERAL_NAMES_free(all); };
    const std::unique_ptr<GENERAL_NAMES, decltype(free_all)> all{
        static_cast<GENERAL_NAMES*>(
            X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
        free_all};
    for (int i = 0; all && i < sk_GENERAL_NAME_num(all.get()); ++i) {
        const BioPtr bio = memory_bio();
        GENERAL_NAME_print(bio.get(), sk_GENERAL_NAME_value(all.get(), i));
        names.push_back(text_in(bio));
    }
    return names;
}

std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) {
    std::tm parts{};
    if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
    return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

std::string hexadecimal(const unsigned char* bytes, std::size_t size) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (std::size_t i = 0; i < size; ++i) {
        text += digits[bytes[i] >> 4];
        text += digits[bytes[i] & 0xf];
    }
    return text;
}

PeerCertificate describe(const X509* certificate) {
    const X509_NAME* const subject = X509_get_subject_name(certificate);
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned digest_size = 0;
    X509_digest(certificate, EVP_sha256(), digest.data(), &digest_size);
    const ASN1_INTEGER* const serial = X509_get0_serialNumber(certificate);
    return {.subject = text_of(subject),
            .issuer = text_of(X509_get_issuer_name(certificate)),
            .common_name = common_name_of(subject),
            .names = names_of(certificate),
            .serial_number = hexadecimal(ASN1_STRING_get0_data(serial),
                                         static_cast<std::size_t>(ASN1_STRING_length(serial))),
            .fingerprint = hexadecimal(digest.data(), digest_size),
            .not_before = time_of(X509_get0_notBefore(certificate)),
            .not_after = time_of(X509_get0_notAfter(certificate))};
}

}  // namespace

TLSConnection::TLSConnection(Socket& socket) : session_{detail::session_of(socket.channel())} {
    if (session_ == nullptr) throw SSLError("the socket does not speak TLS");
}

ssl_st* TLSConnection::native_handle() const noexcept { return session_->native(); }

std::string TLSConnection::version() const {
    const TlsSession::Use use{*session_};
    return SSL_get_version(session_->native());
}

std::string TLSConnection::cipher() const {
    const TlsSession::Use use{*session_};
    return SSL_get_cipher_name(session_->native());
}

std::string TLSConnection::selected_alpn_protocol() const {
    const TlsSession::Use use{*session_};
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(session_->native(), &name, &size);
    return {reinterpret_cast<const char*>(name), size};
}

std::string TLSConnection::server_hostname() const {
    const TlsSession::Use use{*session_};
    if (SSL_is_server(session_->native()) == 0) return session_->server_hostname();
    const char* name = SSL_get_servername(session_->native(), TLSEXT_NAMETYPE_host_name);
    return name == nullptr ? "" : name;
}

bool TLSConnection::session_reused() const {
    const TlsSession::Use use{*session_};
    return SSL_session_reused(session_->native()) == 1;
}

std::optional<PeerCertificate> TLSConnection::getpeercert() const {
    const TlsSession::Use use{*session_};
    const X509Ptr certificate{SSL_get1_peer_certificate(session_->native())};
    if (!certificate) return {};
    return describe(certificate.get());
}

bool is_tls(Socket& socket) noexcept { return detail::session_of(socket.channel()) != nullptr; }

void start_tls(Socket& socket, const SSLContext& context, const std::string& server_hostname,
               std::chrono::nanoseconds handshake_timeout) {
    detail::Channel& channel = socket.channel();
    if (channel.filter != nullptr) throw SSLError("start_tls: the socket speaks TLS already");
    auto session = [&] {
        const detail::OpenSslUse use;
        return std::make_unique<TlsSession>(context, server_hostname);
    }();
    if (socket.corked() != nullptr) socket.corked()->flush_before_send();
    TlsSession& attached = *session;
    channel.filter = std::move(session);
    // A timeout of zero is ignored here, because a handshake has to wait for the peer.
    detail::TimePoint until = detail::deadline_after(handshake_timeout);
    until =
        (std::min)(until, channel.timeout.count() == 0 ? channel.deadline.load() : channel.until());
    attached.handshake(channel, until);
}

void start_tls(Socket& socket, const BufferedReader& rfile, const SSLContext& context,
               std::chrono::nanoseconds handshake_timeout) {
    if (rfile.buffered() > 0) {
        throw SSLError("start_tls: the client has sent " + std::to_string(rfile.buffered()) +
                       " bytes more than its command");
    }
    start_tls(socket, context, {}, handshake_timeout);
}

Socket create_connection(const Address& address, const SSLContext& context,
                         std::optional<std::chrono::nanoseconds> timeout,
                         const std::string& server_hostname) {
    Socket socket = create_connection(address, SocketType::stream, timeout);
    start_tls(socket, context,
              server_hostname.empty() && address.is_inet() ? address.host() : server_hostname);
    return socket;
}

namespace detail {

void refuse_tls(Socket& socket) {
    if (TlsSession* const session = session_of(socket.channel())) {
        session->refuse(socket.channel());
    }
}

}  // namespace detail

}  // namespace socketserver
