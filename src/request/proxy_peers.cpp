// SPDX-License-Identifier: MIT
#include "request/proxy_peers.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "io/socket_error.hpp"
#include "os/sys.hpp"
#include "request/connection.hpp"
#include "request/drain_signal.hpp"
#include "request/request_table.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/request/introduction.hpp"
#include "socketserver/detail/request/server_link.hpp"
#include "socketserver/errors.hpp"
#include "socketserver/proxy_protocol.hpp"
#include "socketserver/socket.hpp"

namespace socketserver {

namespace detail {

namespace {

/// The text that stands for the peers of a Unix socket, which have no numeric address.
constexpr std::string_view unix_peers = "unix:";

using Failure = ProxyHeaderFailure;

/// Reads a header that has to come. It peeks at the bytes before it takes them, because the bytes
/// after the header belong to the handler. It does not call the request hooks, because the client
/// has not begun a request.
class HeaderReader {
  public:
    HeaderReader(Channel& channel, Connection& connection, TimePoint until)
        : channel_{channel}, connection_{connection}, until_{until} {}

    /// Returns nothing if a drain has ended the input before.
    std::optional<ProxyHeader> read() {
        for (;;) {
            const std::size_t before = taken_.size();
            if (!look()) return {};
            std::optional<std::pair<ProxyHeader, std::size_t>> parsed;
            try {
                parsed = parse_proxy_header(taken_);
            } catch (const std::system_error&) {  // a path that Address refuses
                throw ProxyHeaderError(Failure::malformed, "an address that cannot be");
            }
            take((parsed ? parsed->second : taken_.size()) - before);
            if (parsed) return std::move(parsed->first);
            if (Clock::now() >= until_) {  // sending few bytes at a time gives no extra time
                errno = ETIMEDOUT;
                fail();
            }
        }
    }

  private:
    /// Appends the bytes that are there to those that have been taken, without taking them. Waits
    /// if there are none.
    bool look() {
        std::array<char, 536> part;  // NOLINT(*-member-init): the kernel fills it
        for (;;) {
            if (connection_.cancelled.load()) throw Cancelled("PROXY header");
            const ssize_t size = sys::retry_on_eintr([&] {
                return sys::calls.recv(channel_.fd, part.data(), part.size(),
                                       MSG_PEEK | MSG_DONTWAIT);
            });
            if (size > 0) {
                taken_.append(part.data(), static_cast<std::size_t>(size));
                return true;
            }
            if (size == 0) return end_of_input();
            if (errno != EAGAIN) fail();
            if (is_drained()) return false;  // the drain came before this wait
            if (!wait_for_input()) fail();
        }
    }

    bool is_drained() {
        if (!connection_.table->is_input_over(Connection::Phase::fresh)) return false;
        connection_.idle_ended = true;
        return true;
    }

    bool wait_for_input() {
        // In a child, the handler of the drain signal needs to know the connection.
        const bool is_signalled = connection_.table->is_signalled() && current().io == nullptr;
        if (is_signalled) {
            DrainSignal::receiving(&connection_);
            connection_.table->end_input_if_over(connection_);
        }
        const int ready = wait(channel_, Direction::read, until_);
        if (is_signalled) DrainSignal::receiving(nullptr);  // does not change errno
        return ready == 0;
    }

    bool end_of_input() {
        if (connection_.cancelled.load()) throw Cancelled("PROXY header");
        if (is_drained()) return false;
        throw ProxyHeaderError(Failure::client_closed, "the connection ended before it");
    }

    [[noreturn]] void fail() {
        if (errno == ECANCELED || connection_.cancelled.load()) throw Cancelled("PROXY header");
        if (errno == ETIMEDOUT) throw ProxyHeaderError(Failure::timed_out, "it takes too long");
        if (errno == ECONNRESET) {
            channel_.peer_gone.store(true);
            throw ProxyHeaderError(Failure::client_closed, "the connection was reset before it");
        }
        throw_io_error(channel_, "recv a PROXY header");
    }

    /// Takes bytes that look() has seen.
    void take(std::size_t size) {
        while (size > 0) {
            std::array<char, 536> part;  // NOLINT(*-member-init): as above
            const std::ptrdiff_t got =
                detail::recv(channel_, part.data(), std::min(size, part.size()), MSG_DONTWAIT);
            if (got == -1) fail();
            if (got == 0) throw ProxyHeaderError(Failure::client_closed, "the connection ended");
            size -= static_cast<std::size_t>(got);
        }
    }

    Channel& channel_;
    Connection& connection_;
    const TimePoint until_;
    std::string taken_;
};

}  // namespace

ProxyPeers::ProxyPeers(const ServerOptions& options)
    : timeout{options.proxy_header_timeout},
      mode_{options.proxy_protocol},
      networks_{options.proxy_networks} {
    for (const std::string& each : networks_) {
        if (each != unix_peers)
            static_cast<void>(Address{}.in_network(each));  // throws if it is no network
    }
    const bool needs_network =
        mode_ == ProxyProtocol::from_networks || mode_ == ProxyProtocol::only_from_networks;
    if (needs_network && networks_.empty()) {
        throw std::invalid_argument(
            "ServerOptions::proxy_networks is empty: nobody would be a proxy");
    }
}

ProxyPeers::Answer ProxyPeers::expect_from(const Address& peer) const {
    if (mode_ == ProxyProtocol::off) return Answer::no_header;
    if (mode_ == ProxyProtocol::required) return Answer::header;
    for (const std::string& each : networks_) {
        const bool is_in = each == unix_peers ? !peer.is_inet() : peer.in_network(each);
        if (is_in) return Answer::header;
    }
    return mode_ == ProxyProtocol::from_networks ? Answer::no_header : Answer::refuse;
}

Introduction read_proxy_header(Socket& request, Address& client_address) {
    Channel& channel = request.channel();
    Connection* const connection = channel.connection.get();
    if (connection == nullptr || !connection->expects_proxy_header) return Introduction::done;
    RequestTable& table = *connection->table;
    std::optional<ProxyHeader> header;
    {
        // A server that closes must not wait for a silent client.
        std::optional<ServerPin::Pause> pause;
        if (connection->pin != nullptr) pause.emplace(*connection->pin);
        header = HeaderReader{channel, *connection, deadline_after(table.proxies.timeout)}.read();
    }
    if (connection->pin != nullptr && !*connection->pin) {
        connection->cancelled = true;
        return Introduction::ended;
    }
    if (!header) return Introduction::ended;
    connection->expects_proxy_header = false;
    header->proxy = client_address;
    if (!header->source.empty()) client_address = header->source;
    connection->proxy_header = std::make_unique<const ProxyHeader>(std::move(*header));
    return table.introduce(*connection, client_address) ? Introduction::done
                                                        : Introduction::refused;
}

}  // namespace detail

const ProxyHeader* proxy_header(Socket& request) noexcept {
    const detail::Connection* const connection = request.channel().connection.get();
    return connection == nullptr ? nullptr : connection->proxy_header.get();
}

}  // namespace socketserver
