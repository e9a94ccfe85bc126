// SPDX-License-Identifier: MIT
#include "socketserver/detail/server/udp_sessions.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>

#include "io/arrival.hpp"
#include "io/receive_datagram.hpp"
#include "io/sockaddr.hpp"
#include "io/socket_error.hpp"
#include "os/sys.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/io/byte_filter.hpp"

namespace socketserver::detail {

namespace {

constexpr std::size_t largest_datagram = 65535;
/// How many datagrams are kept for one session, or for all clients that have no session yet.
/// Further ones are lost.
constexpr std::size_t most_waiting = 1024;

/// The datagrams that a client sent before its session had a socket.
class Inbox {
  public:
    void put(std::string data) {
        if (data.empty()) return;  // it would look like the end of the session
        const std::lock_guard lock{mutex_};
        if (datagrams_.size() < most_waiting) datagrams_.push_back(std::move(data));
        is_empty_ = datagrams_.empty();
    }
    std::optional<std::string> take() {
        if (is_empty_.load()) return {};
        const std::lock_guard lock{mutex_};
        std::string data = std::move(datagrams_.front());
        datagrams_.pop_front();
        is_empty_ = datagrams_.empty();
        return data;
    }
    bool is_empty() const noexcept { return is_empty_.load(); }

  private:
    std::mutex mutex_;
    std::deque<std::string> datagrams_;
    std::atomic<bool> is_empty_{true};
};

/// Makes a session of a connected socket. It delivers the datagrams of the inbox first, skips empty
/// datagrams, which would look like the end of the session, and notices that the client has gone.
class SessionFilter final : public ByteFilter {
  public:
    SessionFilter(std::shared_ptr<Inbox> inbox, Address client)
        : inbox_{std::move(inbox)}, client_{std::move(client)} {}

    std::ptrdiff_t recv(Channel& channel, char* data, std::size_t size, bool may_wait) override {
        if (const auto first = inbox_->take()) {
            return static_cast<std::ptrdiff_t>(first->copy(data, size));
        }
        // With a deadline, poll(2) does the waiting, after an attempt that cannot tell the end of
        // the input from a lack of input. So has_ended() has to be checked before that wait.
        may_wait = may_wait && channel.deadline.load() == never;
        for (;; may_wait = false) {
            const std::ptrdiff_t received =
                is_clean_ ? detail::recv(channel, data, size, may_wait ? 0 : MSG_DONTWAIT)
                          : recv_from_client(channel, data, size);
            if (received > 0) return received;
            if (received == -1 && errno == ECONNREFUSED) return 0;  // the client has gone
            if (received == -1 && errno != EAGAIN) return -1;
            // A drain ends the input of a connection by shutdown(2), which only this check notices.
            if (has_ended(channel)) return 0;
            if (received == -1) {
                errno = EAGAIN;
                return -1;
            }
        }
    }
    std::ptrdiff_t send(Channel& channel, std::string_view data) override {
        const std::ptrdiff_t sent =
            detail::send(channel, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent == -1 && errno == ECONNREFUSED) errno = EPIPE;
        return sent;
    }
    bool has_pending() const noexcept override { return !inbox_->is_empty(); }
    void shutdown(Channel& channel) noexcept override {
        channel.peer_gone.store(true);  // so that the close does not wait for further input
    }

  private:
    static bool has_ended(const Channel& channel) noexcept {
        pollfd end{channel.fd, POLLRDHUP, 0};
        return sys::calls.poll(&end, 1, 0) == 1 && (end.revents & POLLRDHUP) != 0;
    }
    /// Receives a datagram, and drops those of other clients. The kernel may have delivered such
    /// datagrams before the socket was connected, but none after that.
    std::ptrdiff_t recv_from_client(Channel& channel, char* data, std::size_t size) {
        for (;;) {
            const auto received = receive_datagram(channel.fd, size);
            if (!received) {
                is_clean_ = errno == EAGAIN;
                return -1;
            }
            if (received->from != client_) continue;
            return static_cast<std::ptrdiff_t>(received->data.copy(data, size));
        }
    }

    std::shared_ptr<Inbox> inbox_;
    Address client_;
    bool is_clean_ = false;
};

bool lacks_resources(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

struct UdpSessions::State {
    /// Takes all datagrams from the queue of a socket. Those of `client` go to `inbox`.
    void take_all(Socket& socket, const Address& client, Inbox& inbox) {
        while (waiting.size() < most_waiting) {
            auto received = receive_datagram(socket.fileno(), largest_datagram, true);
            if (!received) return;
            received->count(socket.channel());
            if (received->from == client) {
                inbox.put(std::move(received->data));
            } else {
                waiting.push_back(std::move(*received));
            }
        }
    }
    void forget_ended() {
        if (known.size() < forget_at) return;
        std::erase_if(known, [](const auto& each) { return each.second.expired(); });
        forget_at = std::max<std::size_t>(64, 2 * known.size());
    }
    void note_waiting() { has_waiting = !waiting.empty(); }

    std::mutex mutex;
    std::deque<ReceivedDatagram> waiting;
    std::atomic<bool> has_waiting{false};
    /// The sessions, including some that have ended. If a datagram for a session comes through the
    /// server's socket, it was under way when the session began.
    std::map<Address, std::weak_ptr<Inbox>> known;
    std::size_t forget_at = 64;
};

UdpSessions::UdpSessions() : state_{std::make_unique<State>()} {}

UdpSessions::~UdpSessions() = default;

bool UdpSessions::has_waiting() const noexcept { return state_->has_waiting.load(); }

/// The kernel would choose among the sockets of all sessions, too, and most new clients would come
/// to the same worker.
void UdpSessions::check(const ServerOptions& options) {
    if (!options.socket_per_worker) return;
    throw std::system_error(EOPNOTSUPP, std::system_category(),
                            "socket_per_worker: sessions have sockets of their own");
}

/// To be called after the server has bound its socket. With SO_REUSEPORT set before that, a second
/// server could bind the same port without an error.
void UdpSessions::share_port(Socket& server) { server.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1); }

std::optional<std::pair<Socket, Address>> UdpSessions::begin_next(Socket& server) {
    const std::lock_guard lock{state_->mutex};
    auto& waiting = state_->waiting;
    for (;;) {
        if (waiting.empty()) {
            state_->note_waiting();
            auto received = receive_datagram(server.fileno(), largest_datagram, true);
            if (!received) {
                if (errno == EAGAIN) return {};
                throw_system_error("receive a datagram");
            }
            received->count(server.channel());
            waiting.push_back(std::move(*received));
        }
        ReceivedDatagram& first = waiting.front();
        if (const auto found = state_->known.find(first.from); found != state_->known.end()) {
            if (const auto inbox = found->second.lock()) {
                inbox->put(std::move(first.data));
                waiting.pop_front();
                continue;
            }
        }
        if (first.data.empty()) {  // a session would skip it
            waiting.pop_front();
            continue;
        }
        const auto inbox = std::make_shared<Inbox>();
        const Address client = first.from;
        std::optional<Socket> session;
        try {
            const Address local = source_of(first.arrival, server.getsockname());
            session.emplace(local, SocketType::datagram);
            session->setsockopt(SOL_SOCKET, SO_REUSEPORT, 1);
            if (local.family() == AddressFamily::inet6) {
                session->setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 0);
            }
            session->bind(local);
            session->connect(client);
        } catch (const std::system_error& error) {
            if (lacks_resources(error.code().value())) {
                state_->note_waiting();
                throw;
            }
            // Nothing can be sent to such a client, for example because its port is 0 or because
            // there is no route to it.
            if (session) state_->take_all(*session, Address{}, *inbox);
            waiting.pop_front();
            continue;
        }
        inbox->put(std::move(first.data));
        waiting.pop_front();
        // The datagrams are put in the order in which they were sent: those from the server's
        // socket came before the session had a socket.
        std::deque<ReceivedDatagram> others;
        for (ReceivedDatagram& each : waiting) {
            if (each.from == client) {
                inbox->put(std::move(each.data));
            } else {
                others.push_back(std::move(each));
            }
        }
        waiting.swap(others);
        state_->take_all(server, client, *inbox);
        state_->take_all(*session, client, *inbox);
        state_->forget_ended();
        state_->known[client] = inbox;
        state_->note_waiting();
        session->channel().filter = std::make_unique<SessionFilter>(inbox, client);
        return std::pair{std::move(*session), client};
    }
}

}  // namespace socketserver::detail
