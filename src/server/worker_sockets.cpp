// SPDX-License-Identifier: MIT
#include "server/worker_sockets.hpp"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "io/close_on_fork.hpp"
#include "io/socket_error.hpp"
#include "os/sys.hpp"
#include "server/server_socket.hpp"
#include "server/server_state.hpp"
#include "socketserver/server_base.hpp"
#include "socketserver/transport.hpp"

namespace socketserver::detail {

namespace {

// Newer than some C libraries.
constexpr int so_bindtoifindex = 62;
constexpr int ipv6_multicast_all = 29;
constexpr int ipv6_freebind = 78;

struct OptionName {
    int level;
    int name;
};

/// Those with an integer as their value that a program may set on a UDP socket, in an order in
/// which none changes one before it. Sizes of buffers are not here, because the kernel tells twice
/// of what it was told.
constexpr std::array copied_options{
    OptionName{SOL_SOCKET, SO_BROADCAST},     OptionName{SOL_SOCKET, SO_DONTROUTE},
    OptionName{SOL_SOCKET, so_bindtoifindex}, OptionName{SOL_SOCKET, SO_BUSY_POLL},
    OptionName{IPPROTO_IP, IP_TOS},           OptionName{IPPROTO_IP, IP_TTL},
    OptionName{IPPROTO_IP, IP_MTU_DISCOVER},  OptionName{IPPROTO_IP, IP_FREEBIND},
    OptionName{IPPROTO_IP, IP_TRANSPARENT},   OptionName{IPPROTO_IP, IP_PKTINFO},
    OptionName{IPPROTO_IP, IP_MULTICAST_TTL}, OptionName{IPPROTO_IP, IP_MULTICAST_LOOP},
    OptionName{SOL_SOCKET, SO_PRIORITY},  // after IP_TOS, which sets it
    OptionName{SOL_SOCKET, SO_MARK},
};
constexpr std::array copied_options_of_ipv6{
    OptionName{IPPROTO_IPV6, IPV6_V6ONLY},         OptionName{IPPROTO_IPV6, IPV6_TCLASS},
    OptionName{IPPROTO_IPV6, IPV6_UNICAST_HOPS},   OptionName{IPPROTO_IPV6, IPV6_MTU_DISCOVER},
    OptionName{IPPROTO_IPV6, ipv6_freebind},       OptionName{IPPROTO_IPV6, IPV6_TRANSPARENT},
    OptionName{IPPROTO_IPV6, IPV6_RECVPKTINFO},    OptionName{IPPROTO_IPV6, IPV6_MULTICAST_HOPS},
    OptionName{IPPROTO_IPV6, IPV6_MULTICAST_LOOP}, OptionName{IPPROTO_IPV6, IPV6_MULTICAST_IF},
};

/// Nothing if the kernel does not know the option.
std::optional<int> option_of(const Socket& socket, OptionName option) noexcept {
    int value = 0;
    socklen_t size = sizeof value;
    if (::getsockopt(socket.fileno(), option.level, option.name, &value, &size) == -1) return {};
    return value;
}

bool set_option(const Socket& socket, OptionName option, int value) noexcept {
    return sys::calls.setsockopt(socket.fileno(), option.level, option.name, &value,
                                 sizeof value) == 0;
}

/// An option that has its value already is not set: that may need rights that the process had when
/// it made the first socket.
void copy_option(const Socket& from, const Socket& to, OptionName option) {
    const auto value = option_of(from, option);
    if (!value || option_of(to, option) == value) return;
    if (!set_option(to, option, *value)) throw_system_error("set the options of a further socket");
}

/// @param forced the option that may exceed what the machine allows.
void copy_buffer_size(const Socket& from, const Socket& to, OptionName option, int forced) {
    const auto size = option_of(from, option);
    if (!size || option_of(to, option) == size) return;
    if (set_option(to, option, *size / 2) && option_of(to, option) == size) return;
    if (!set_option(to, {option.level, forced}, *size / 2)) {
        throw_system_error("set the size of a buffer of a further socket");
    }
}

}  // namespace

void WorkerSockets::add(const Socket& first, std::shared_ptr<Socket> socket) {
    const std::size_t size = this->size();
    if (!sockets_) {
        sockets_ = std::make_unique<std::shared_ptr<Socket>[]>(most);  // NOLINT
    }
    if (epoll_ == -1) {
        epoll_ = sys::calls.epoll_create1(EPOLL_CLOEXEC);
        if (epoll_ == -1) throw_system_error("watch the sockets of the workers");
        CloseOnFork::add_server(epoll_);
        try {
            watch(first.fileno());
        } catch (...) {
            close();
            throw;
        }
    }
    watch(socket->fileno());
    sockets_[size] = std::move(socket);
    size_.store(size + 1, std::memory_order_release);
}

void WorkerSockets::watch(int descriptor) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (sys::calls.epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) == -1) {
        throw_system_error("watch the sockets of the workers");
    }
}

void WorkerSockets::close() noexcept {
    size_ = 0;
    turn_ = 0;
    sockets_.reset();
    if (epoll_ == -1) return;
    CloseOnFork::remove(epoll_);
    sys::calls.close(std::exchange(epoll_, -1));
}

void bind_beside(Socket& made, const Socket& first) {
    const Address address = first.getsockname();
    for (const OptionName option : copied_options) copy_option(first, made, option);
    if (address.family() == AddressFamily::inet6) {
        for (const OptionName option : copied_options_of_ipv6) copy_option(first, made, option);
    }
    copy_buffer_size(first, made, {SOL_SOCKET, SO_RCVBUF}, SO_RCVBUFFORCE);
    copy_buffer_size(first, made, {SOL_SOCKET, SO_SNDBUF}, SO_SNDBUFFORCE);
    made.settimeout(first.gettimeout());
    // The kernel gives a datagram to a group to every socket that takes it. Only the one that has
    // joined shall.
    if (!set_option(made, {IPPROTO_IP, IP_MULTICAST_ALL}, 0)) {
        throw_system_error("set IP_MULTICAST_ALL for", address);
    }
    // Linux before 4.20 does not know it.
    if (address.family() == AddressFamily::inet6 &&
        !set_option(made, {IPPROTO_IPV6, ipv6_multicast_all}, 0) && errno != ENOPROTOOPT) {
        throw_system_error("set IPV6_MULTICAST_ALL for", address);
    }
    made.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1);
    made.bind(address);
}

}  // namespace socketserver::detail

namespace socketserver {

using detail::CloseOnFork;
using detail::DatagramCounters;
using detail::ServerSocket;
using detail::SharedCounters;

void ServerBase::open_worker_sockets(std::size_t count) {
    if (!options_.socket_per_worker) return;
    const std::lock_guard lock{state_->mutex};  // a drain in another thread goes through them
    if (!socket_) return;
    auto& first = static_cast<ServerSocket&>(*socket_);
    if (first.more.size() + 1 >= count) return;
    if (first.getsockname().port() == 0) {
        throw std::system_error(EINVAL, std::system_category(),
                                "socket_per_worker: the server is not bound");
    }
    // As for sessions, only now: a second server that binds the same address is still refused.
    first.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1);
    SharedCounters& counters = *state_->table->counters;
    while (first.more.size() + 1 < count) {
        auto made = std::make_shared<ServerSocket>(transport_.open(numeric_address_));
        CloseOnFork::add_server(made->fileno());
        transport_.prepare_bind(*made, numeric_address_, options_);
        transport_.prepare_receive(*made, numeric_address_);
        detail::bind_beside(*made, first);
        DatagramCounters& own = *std::construct_at(&counters.datagrams_of(first.more.size() + 1));
        own.guard = counters.datagrams.guard;
        made->count_in(state_->table, nullptr, own);
        first.more.add(first, std::move(made));
        counters.sockets = first.more.size() + 1;
        state_->any_socket = first.more.fileno();
    }
}

void ServerBase::keep_worker_sockets(std::size_t number, std::size_t workers) {
    if (transport_.listens() || !socket_) return;
    const auto first = std::static_pointer_cast<ServerSocket>(socket_);
    const std::size_t count = first->more.size() + 1;
    if (count == 1) return;
    number %= count;
    const auto at = [&](std::size_t i) {
        return i == 0 ? std::shared_ptr<Socket>{first} : first->more[i - 1];
    };
    const auto own = std::static_pointer_cast<ServerSocket>(at(number));
    std::vector<std::shared_ptr<Socket>> others;
    for (std::size_t i = number + workers; i < count; i += workers) others.push_back(at(i));
    first->more.close();
    for (auto& each : others) {
        CloseOnFork::remove(each->fileno());  // a child that serves its datagram answers through it
        own->more.add(*own, std::move(each));
    }
    // Nor is this one to be taken for that of another server.
    if (own->more.size() > 0) CloseOnFork::remove(own->more.fileno());
    state_->any_socket = own->more.fileno();
    state_->has_own_socket = number != 0;
    socket_ = own;
}

void ServerBase::close_worker_sockets() noexcept {
    state_->any_socket = -1;
    if (!transport_.listens() && socket_) static_cast<ServerSocket&>(*socket_).more.close();
}

}  // namespace socketserver
