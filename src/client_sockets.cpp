// SPDX-License-Identifier: MIT
#include "client_sockets.hpp"

#include <pthread.h>
#include <sched.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdint>

#include "sockaddr.hpp"
#include "sys.hpp"

namespace socketserver::detail {

namespace {

// One bit for each descriptor. Above this number a socket is not known here; a process with so many
// descriptors is no place to fork for each request.
constexpr std::size_t most_descriptors = std::size_t{1} << 20;
constexpr std::size_t bits = 64;

constinit std::array<std::atomic<std::uint64_t>, most_descriptors / bits> words{};
constinit std::atomic<std::size_t> count{0};
constinit std::atomic<std::size_t> words_in_use{0};  // no bit was ever set beyond

// A lock of readers and one writer, the fork, that a child need not unlock: it would have to write
// to a page, which is then copied for it. Whose fork it is stands in the lock, and in a child it is
// another process's.
constinit std::atomic<int> keep_from_forking{0};
constinit std::atomic<pid_t> forking{0};
constinit std::atomic<bool> has_forked{false};

bool is_forking() { return forking != 0 && forking == ::getpid(); }

void before_fork() {
    if (!has_forked.load(std::memory_order_relaxed)) has_forked = true;
    if (__libc_single_threaded != 0) {
        // There is nobody to be kept out, and nothing is written. What is held was held by threads
        // of the parent, of which this is a child.
        if (forking != 0) keep_from_forking = forking = 0;
        return;
    }
    const pid_t self = ::getpid();
    for (pid_t other = 0; !forking.compare_exchange_weak(other, self); other = 0) {
        if (other == 0 || other == self) {  // another thread forks
            ::sched_yield();
            continue;
        }
        // The first fork in a child: what its parent's other threads held is nobody's here.
        keep_from_forking = 0;
        forking.compare_exchange_strong(other, 0);
    }
    while (keep_from_forking > 0) ::sched_yield();
}

void after_fork_in_parent() {
    if (forking != 0) forking = 0;
}

// For every fork of the program, whoever makes it.
[[maybe_unused]] const int at_fork = ::pthread_atfork(before_fork, after_fork_in_parent, nullptr);

bool is_listening(int descriptor) {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value != 0;
}

bool is_client_of(int descriptor, const Address& server) {
    if (is_listening(descriptor)) return false;
    SockAddr raw;
    if (::getpeername(descriptor, raw.get(), &raw.size) == -1) return errno == ENOTCONN;
    const Address peer = from_sockaddr(raw);
    if (peer == server) return true;
    // A server on all addresses is reached by each of them: it is this one if the connection does
    // not leave the machine.
    raw.size = sizeof raw.storage;
    return peer.is_inet() && peer.port() == server.port() &&
           ::getsockname(descriptor, raw.get(), &raw.size) == 0 &&
           from_sockaddr(raw).host() == peer.host();
}

}  // namespace

ClientSockets::NoFork::NoFork() noexcept {
    for (++keep_from_forking; is_forking(); ++keep_from_forking) {
        --keep_from_forking;
        while (is_forking()) ::sched_yield();
    }
}

ClientSockets::NoFork::~NoFork() { --keep_from_forking; }

void ClientSockets::add(int descriptor) noexcept {
    const auto index = static_cast<std::size_t>(descriptor);
    if (descriptor < 0 || index >= most_descriptors) return;
    const std::uint64_t bit = std::uint64_t{1} << (index % bits);
    if ((words[index / bits].fetch_or(bit) & bit) != 0) return;
    ++count;
    std::size_t used = words_in_use;
    while (used <= index / bits && !words_in_use.compare_exchange_weak(used, index / bits + 1)) {
    }
}

bool ClientSockets::knows(int descriptor) noexcept {
    const auto index = static_cast<std::size_t>(descriptor);
    if (descriptor < 0 || index >= most_descriptors) return false;
    const std::uint64_t bit = std::uint64_t{1} << (index % bits);
    return (words[index / bits].load(std::memory_order_relaxed) & bit) != 0;
}

void ClientSockets::remove(int descriptor) noexcept {
    if (!knows(descriptor)) return;
    const auto index = static_cast<std::size_t>(descriptor);
    const std::uint64_t bit = std::uint64_t{1} << (index % bits);
    if ((words[index / bits].fetch_and(~bit) & bit) != 0) --count;
}

bool ClientSockets::may_be_inherited() noexcept {
    return has_forked.load(std::memory_order_relaxed);
}

void ClientSockets::close_inherited(const Address& server) noexcept {
    if (count == 0) return;
    for (std::size_t i = 0; i < words_in_use; ++i) {
        for (std::uint64_t word = words[i]; word != 0; word &= word - 1) {
            const int descriptor = static_cast<int>(i * bits) + std::countr_zero(word);
            if (is_client_of(descriptor, server)) sys::calls.close(descriptor);
        }
    }
}

}  // namespace socketserver::detail
