// SPDX-License-Identifier: MIT
// The transports, each from its address to the end of its queue.
#include "socketserver/transport.hpp"

#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>

#include "io/sockaddr.hpp"
#include "io/socket_error.hpp"
#include "os/sys.hpp"
#include "socketserver/tcp_server.hpp"
#include "socketserver/udp_server.hpp"
#include "socketserver/unix_server.hpp"

namespace socketserver {

namespace {

[[noreturn]] void throw_wrong_family(const Address& address, const char* takes) {
    throw std::system_error(EAFNOSUPPORT, std::system_category(),
                            "a server on " + address.to_string() + ": " + takes);
}

void set_option(const Socket& socket, const Address& address, int level, int name, int value,
                const char* text) {
    if (detail::sys::calls.setsockopt(socket.fileno(), level, name, &value, sizeof value) == -1) {
        detail::throw_system_error(text, address);
    }
}

// The functions that the two transports on IP share.

void check_inet_address(const Address& address) {
    if (!address.is_inet()) {
        throw_wrong_family(address, "a TCP or UDP server takes a host and a port");
    }
}

Socket open_inet(const Address& address, SocketType type) {
    Socket socket{address, type};
    if (address.family() == AddressFamily::inet6) {
        // The default depends on the machine (net.ipv6.bindv6only), but "::" shall mean both
        // versions. The option is set here, so that a derived class can change it in server_bind().
        set_option(socket, address, IPPROTO_IPV6, IPV6_V6ONLY, 0, "set IPV6_V6ONLY for");
    }
    return socket;
}

void reuse_as_asked(const Socket& socket, const Address& address, const ServerOptions& options) {
    if (options.allow_reuse_address) {
        set_option(socket, address, SOL_SOCKET, SO_REUSEADDR, 1, "set SO_REUSEADDR for");
    }
    if (options.allow_reuse_port) {
        set_option(socket, address, SOL_SOCKET, SO_REUSEPORT, 1, "set SO_REUSEPORT for");
    }
}

template <std::size_t size>
void attach_filter(const Socket& socket, std::array<sock_filter, size> filter) noexcept {
    const sock_fprog program{static_cast<unsigned short>(size), filter.data()};
    // If this fails, new clients still enter the queue, and are served until the queue is empty.
    ::setsockopt(socket.fileno(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

// The functions that the two Unix transports share.

void check_unix_address(const Address& address) {
    if (!address.is_unix()) throw_wrong_family(address, "a Unix server takes a path, or \"@name\"");
}

/// Sets the mode of the socket before it is bound. Linux gives the same mode to the file, so there
/// is no moment at which others can connect.
void set_mode(const Socket& socket, const Address& address, const ServerOptions& options) {
    if (options.unix_mode && ::fchmod(socket.fileno(), *options.unix_mode) == -1) {
        detail::throw_system_error("set the mode of", address);
    }
}

}  // namespace

void Transport::prepare_bind(const Socket&, const Address&, const ServerOptions&) const {}

void Transport::prepare_receive(const Socket&, const Address&) const {}

void Transport::stop_queueing(const Socket&) const noexcept {}

std::chrono::milliseconds Transport::handshake_time() const noexcept { return {}; }

void Transport::stop_listening(const Socket&) const noexcept {}

int TCPTransport::socket_type() const noexcept { return SOCK_STREAM; }

void TCPTransport::check_address(const Address& address) const { check_inet_address(address); }

Socket TCPTransport::open(const Address& address) const {
    return open_inet(address, SocketType::stream);
}

void TCPTransport::prepare_bind(const Socket& socket, const Address& address,
                                const ServerOptions& options) const {
    reuse_as_asked(socket, address, options);
}

/// The packets that complete a handshake are let through, because that client considers itself
/// connected already.
void TCPTransport::stop_queueing(const Socket& socket) const noexcept {
    constexpr unsigned tcp_flags = 13;
    constexpr unsigned syn = 0x02;
    attach_filter(socket, std::array<sock_filter, 4>{{{BPF_LD | BPF_B | BPF_ABS, 0, 0, tcp_flags},
                                                      {BPF_JMP | BPF_JSET | BPF_K, 0, 1, syn},
                                                      {BPF_RET | BPF_K, 0, 0, 0},
                                                      {BPF_RET | BPF_K, 0, 0, 0xffffffff}}});
}

/// A client whose handshake is under way when new ones are dropped is connected a moment later.
/// Until then an empty queue does not mean that all clients have been served.
std::chrono::milliseconds TCPTransport::handshake_time() const noexcept {
    return std::chrono::milliseconds{100};
}

void TCPTransport::stop_listening(const Socket& socket) const noexcept {
    detail::sys::calls.shutdown(socket.fileno(), SHUT_RD);
}

int UDPTransport::socket_type() const noexcept { return SOCK_DGRAM; }

void UDPTransport::check_address(const Address& address) const { check_inet_address(address); }

Socket UDPTransport::open(const Address& address) const {
    return open_inet(address, SocketType::datagram);
}

void UDPTransport::prepare_bind(const Socket& socket, const Address& address,
                                const ServerOptions& options) const {
    reuse_as_asked(socket, address, options);
}

void UDPTransport::prepare_receive(const Socket& socket, const Address& address) const {
    // Where the kernel does not tell how many datagrams it dropped, none are counted: an emulator
    // (qemu-user) does not know the option.
    constexpr int on = 1;
    if (detail::sys::calls.setsockopt(socket.fileno(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on) ==
            -1 &&
        errno != ENOPROTOOPT) {
        detail::throw_system_error("set SO_RXQ_OVFL for", address);
    }
    if (!detail::is_wildcard(address)) return;
    // On IPv6 both options are set, because only IP_PKTINFO tells the machine's own address for a
    // datagram to an IPv4 group or broadcast address.
    set_option(socket, address, IPPROTO_IP, IP_PKTINFO, 1, "set IP_PKTINFO for");
    if (address.family() == AddressFamily::inet6) {
        set_option(socket, address, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, "set IPV6_RECVPKTINFO for");
    }
}

void UDPTransport::stop_queueing(const Socket& socket) const noexcept {
    attach_filter(socket, std::array<sock_filter, 1>{{{BPF_RET | BPF_K, 0, 0, 0}}});
}

int UnixStreamTransport::socket_type() const noexcept { return SOCK_STREAM; }

void UnixStreamTransport::check_address(const Address& address) const {
    check_unix_address(address);
}

Socket UnixStreamTransport::open(const Address& address) const {
    return Socket{address, SocketType::stream};
}

void UnixStreamTransport::prepare_bind(const Socket& socket, const Address& address,
                                       const ServerOptions& options) const {
    set_mode(socket, address, options);
}

void UnixStreamTransport::stop_queueing(const Socket& socket) const noexcept {
    detail::sys::calls.shutdown(socket.fileno(), SHUT_RD);
}

int UnixDatagramTransport::socket_type() const noexcept { return SOCK_DGRAM; }

void UnixDatagramTransport::check_address(const Address& address) const {
    check_unix_address(address);
}

Socket UnixDatagramTransport::open(const Address& address) const {
    return Socket{address, SocketType::datagram};
}

void UnixDatagramTransport::prepare_bind(const Socket& socket, const Address& address,
                                         const ServerOptions& options) const {
    set_mode(socket, address, options);
}

void UnixDatagramTransport::stop_queueing(const Socket& socket) const noexcept {
    detail::sys::calls.shutdown(socket.fileno(), SHUT_RD);
}

}  // namespace socketserver
