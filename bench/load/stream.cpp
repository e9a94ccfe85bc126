// SPDX-License-Identifier: MIT
#include "stream.hpp"

#include <cerrno>
#include <cstdlib>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#ifdef LOAD_TLS
#    include <openssl/err.h>
#    include <openssl/ssl.h>
#endif

namespace load {

#ifdef LOAD_TLS

bool has_tls() { return true; }

namespace {

SSL* new_session(int fd) {
    static SSL_CTX* const context = [] {
        SSL_CTX* made = SSL_CTX_new(TLS_client_method());
        if (made == nullptr) std::abort();
        SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_read_ahead(made, 1);
        // The same for every server: left to choose, they would not choose alike.
        if (SSL_CTX_set_ciphersuites(made, "TLS_AES_128_GCM_SHA256") != 1) std::abort();
        return made;
    }();
    SSL* ssl = SSL_new(context);
    if (ssl == nullptr || SSL_set_fd(ssl, fd) != 1) std::abort();
    SSL_set_connect_state(ssl);
    return ssl;
}

}  // namespace

Stream::Stream(int fd, bool tls) : fd_{fd}, ssl_{tls ? new_session(fd) : nullptr} {}

Stream::~Stream() {
    if (ssl_ != nullptr) {
        SSL_shutdown(ssl_);
        SSL_free(ssl_);
    }
    if (fd_ >= 0) ::close(fd_);
}

ssize_t Stream::send(std::string_view data) {
    if (ssl_ == nullptr) return ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
    ERR_clear_error();
    return result(SSL_write(ssl_, data.data(), static_cast<int>(data.size())));
}

ssize_t Stream::recv(char* data, std::size_t size) {
    if (ssl_ == nullptr) return ::recv(fd_, data, size, 0);
    ERR_clear_error();
    return result(SSL_read(ssl_, data, static_cast<int>(size)));
}

ssize_t Stream::result(int returned) const {
    if (returned > 0) return returned;
    switch (SSL_get_error(ssl_, returned)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE:
            errno = EAGAIN;
            return -1;
        case SSL_ERROR_ZERO_RETURN:
            return 0;
        case SSL_ERROR_SYSCALL:
            return -1;
        default:
            errno = EPROTO;
            return -1;
    }
}

#else

bool has_tls() { return false; }

Stream::Stream(int fd, bool /*tls*/) : fd_{fd} {}

Stream::~Stream() {
    if (fd_ >= 0) ::close(fd_);
}

ssize_t Stream::send(std::string_view data) {
    return ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
}

ssize_t Stream::recv(char* data, std::size_t size) { return ::recv(fd_, data, size, 0); }

#endif

Stream::Stream(Stream&& other) noexcept
    : fd_{std::exchange(other.fd_, -1)}, ssl_{std::exchange(other.ssl_, nullptr)} {}

Stream& Stream::operator=(Stream&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(ssl_, other.ssl_);
    return *this;
}

}  // namespace load
