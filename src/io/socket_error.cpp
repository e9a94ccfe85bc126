// SPDX-License-Identifier: MIT
#include "io/socket_error.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "io/request_hooks.hpp"
#include "socketserver/detail/io/byte_filter.hpp"
#include "socketserver/errors.hpp"

namespace socketserver::detail {

namespace {

bool reuses_address(int descriptor) {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &value, &size) == 0 && value != 0;
}

std::string bind_advice(int error, int descriptor, const Address& address) {
    switch (error) {
        case EADDRINUSE:
            if (address.is_unix()) return " (a server is listening there, or it is not a socket)";
            if (reuses_address(descriptor)) {
                return " (another socket listens on the port, or holds it without SO_REUSEADDR)";
            }
            return " (another socket holds the port; if it is an old connection of a server that "
                   "ended, .allow_reuse_address = true lets both be)";
        case EACCES:
            if (address.is_unix()) return " (the folder must be writable)";
            return " (ports below 1024 need CAP_NET_BIND_SERVICE)";
        case EADDRNOTAVAIL:
            return " (no interface of this machine has the address; \"\" is all of IPv4, \"::\" "
                   "all of IPv6 and IPv4)";
        case ENOENT:
            return address.is_unix() ? " (the folder does not exist)" : "";
        default:
            return "";
    }
}

[[noreturn]] void throw_timeout(const Channel& channel, const std::string& operation) {
    if (channel.deadline.load() > Clock::now()) throw TimeoutError(operation);
    if (is_idle(channel)) throw IdleTimeout(operation);
    throw DeadlineExceeded(operation);
}

std::string text_of(std::string_view operation, const Address& address) {
    return std::string{operation} + ' ' + address.to_string();
}

[[noreturn]] void throw_io_error(Channel& channel, int error, const std::string& operation) {
    if (channel.filter != nullptr) {
        if (error == ByteFilter::cut_off) channel.peer_gone.store(true);
        channel.filter->throw_error(error, operation);
    }
    switch (error) {
        case ETIMEDOUT:
            throw_timeout(channel, operation);
        case ECANCELED:
            throw Cancelled(operation);
        case ECONNRESET:
        case EPIPE:
        case ECONNABORTED:
        case ENOTCONN:  // shutdown(2) after a reset that no other operation has met
            channel.peer_gone.store(true);
            break;
        default:
            break;
    }
    throw std::system_error(error, std::system_category(), operation);
}

}  // namespace

void throw_system_error(std::string_view operation, const Address& address) {
    const int error = errno;
    throw std::system_error(error, std::system_category(), text_of(operation, address));
}

void throw_io_error(Channel& channel, std::string_view operation) {
    const int error = errno;
    throw_io_error(channel, error, std::string{operation});
}

void throw_io_error(Channel& channel, std::string_view operation, const Address& address) {
    const int error = errno;
    throw_io_error(channel, error, text_of(operation, address));
}

void throw_bind_error(int descriptor, const Address& address) {
    const int error = errno;
    throw std::system_error(
        error, std::system_category(),
        "bind " + address.to_string() + bind_advice(error, descriptor, address));
}

}  // namespace socketserver::detail
