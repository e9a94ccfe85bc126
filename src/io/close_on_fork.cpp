// SPDX-License-Identifier: MIT
#include "io/close_on_fork.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>

#include "io/fork_lock.hpp"
#include "io/sockaddr.hpp"
#include "os/sys.hpp"

namespace socketserver::detail {

namespace {

// The kind of each descriptor, in four bits. Descriptors above the last number are not remembered;
// a process with so many descriptors is not suited for a fork for each request.
enum class Kind : unsigned char { unknown, client, closing, server, control };
constexpr std::size_t most_descriptors = std::size_t{1} << 20;
constexpr std::size_t bits = 4;
constexpr std::size_t per_word = 64 / bits;
constexpr std::uint64_t mask = (std::uint64_t{1} << bits) - 1;

constinit std::array<std::atomic<std::uint64_t>, most_descriptors / per_word> words{};
constinit std::atomic<std::size_t> count{0};
constinit std::atomic<std::size_t> controls{0};
constinit std::atomic<std::size_t> words_in_use{0};  // the words after these were never written

bool has_place(int descriptor) {
    return descriptor >= 0 && static_cast<std::size_t>(descriptor) < most_descriptors;
}

Kind kind_in(std::uint64_t word, std::size_t place) {
    return static_cast<Kind>((word >> (place * bits)) & mask);
}

/// Makes a descriptor of the kind `from` one of the kind `to`. `Kind::unknown` as `from` stands for
/// every kind.
void change(int descriptor, Kind from, Kind to) {
    if (!has_place(descriptor)) return;
    const auto index = static_cast<std::size_t>(descriptor);
    const std::size_t place = index % per_word;
    std::atomic<std::uint64_t>& word = words[index / per_word];
    std::uint64_t before = word.load(std::memory_order_relaxed);
    Kind was{};
    do {
        was = kind_in(before, place);
        if (was == to || (from != Kind::unknown && was != from)) return;
    } while (!word.compare_exchange_weak(
        before,
        (before & ~(mask << (place * bits))) | (static_cast<std::uint64_t>(to) << (place * bits))));
    if (was == Kind::unknown) ++count;
    if (to == Kind::unknown) --count;
    if (was == Kind::control) --controls;
    if (to == Kind::control) ++controls;
    std::size_t used = words_in_use;
    const std::size_t needed = index / per_word + 1;
    while (used < needed && !words_in_use.compare_exchange_weak(used, needed)) {
    }
}

/// Calls `visit` with each descriptor that is remembered, and its kind.
void for_each(auto visit) {
    for (std::size_t i = 0; i < words_in_use; ++i) {
        const std::uint64_t word = words[i].load(std::memory_order_relaxed);
        if (word == 0) continue;
        for (std::size_t place = 0; place < per_word; ++place) {
            const Kind kind = kind_in(word, place);
            if (kind != Kind::unknown) visit(static_cast<int>(i * per_word + place), kind);
        }
    }
}

/// Closes what a descriptor stands for, but keeps its number taken: a socket that is connected to
/// nothing takes the place.
class Blank {
  public:
    Blank() = default;
    Blank(const Blank&) = delete;
    Blank& operator=(const Blank&) = delete;
    ~Blank() {
        if (blank_ != -1) ::close(blank_);
    }
    void replace(int descriptor) noexcept {
        if (blank_ == -1) blank_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        // If no such socket can be made, a number that is free does less harm than a descriptor
        // that the child must not keep.
        if (blank_ == -1 || ::dup3(blank_, descriptor, O_CLOEXEC) == -1) ::close(descriptor);
    }

  private:
    int blank_ = -1;
};

constinit ForkLock<> fork_lock;
constinit std::atomic<bool> has_forked{false};

void before_fork() {
    if (!has_forked.load(std::memory_order_relaxed)) has_forked = true;
    if (__libc_single_threaded != 0) {
        fork_lock.fork_alone();
    } else {
        fork_lock.begin_fork();
    }
}

void after_fork_in_parent() { fork_lock.end_fork(); }

void after_fork_in_child() {
    if (controls == 0) return;
    Blank blank;
    for_each([&](int descriptor, Kind kind) {
        if (kind == Kind::control) blank.replace(descriptor);
    });
}

// Every fork in the program calls these functions, not only forks of the library.
[[maybe_unused]] const int at_fork =
    ::pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);

bool is_listening(int descriptor) {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value != 0;
}

bool is_client_of(int descriptor, Kind kind, const Address& server) {
    if (is_listening(descriptor)) return false;
    SockAddr raw;
    if (::getpeername(descriptor, raw.get(), &raw.size) == -1) {
        // The number of a descriptor that was being closed may belong to something else by now.
        return errno == ENOTCONN && kind == Kind::client;
    }
    const Address peer = from_sockaddr(raw);
    if (peer == server) return true;
    // A server that listens on all addresses is reached by each of them. It is this server if the
    // connection does not leave the machine.
    raw.size = sizeof raw.storage;
    return peer.is_inet() && peer.port() == server.port() &&
           ::getsockname(descriptor, raw.get(), &raw.size) == 0 &&
           from_sockaddr(raw).host() == peer.host();
}

}  // namespace

void CloseOnFork::forbid_fork() noexcept { fork_lock.forbid_fork(); }

void CloseOnFork::allow_fork() noexcept { fork_lock.allow_fork(); }

void CloseOnFork::add_client(int descriptor) noexcept {
    change(descriptor, Kind::unknown, Kind::client);
}

void CloseOnFork::add_server(int descriptor) noexcept {
    change(descriptor, Kind::unknown, Kind::server);
}

void CloseOnFork::add_control(int descriptor) noexcept {
    change(descriptor, Kind::unknown, Kind::control);
}

bool CloseOnFork::knows(int descriptor) noexcept {
    return descriptor >= 0 && static_cast<std::size_t>(descriptor) < most_descriptors &&
           (words[static_cast<std::size_t>(descriptor) / per_word].load(
                std::memory_order_relaxed) >>
                (static_cast<std::size_t>(descriptor) % per_word * bits) &
            mask) != 0;
}

void CloseOnFork::remove(int descriptor) noexcept {
    if (knows(descriptor)) change(descriptor, Kind::unknown, Kind::unknown);
}

void CloseOnFork::remove_client(int descriptor) noexcept {
    change(descriptor, Kind::client, Kind::unknown);
}

CloseOnFork::Closing::Closing(int descriptor) noexcept : descriptor_{descriptor} {
    change(descriptor, Kind::unknown, Kind::closing);
}

// A fork that is under way may have copied the table of descriptors, with this one open, and not
// yet the memory: the child must find in it that the descriptor is to be closed. If another thread
// has got the number meanwhile and added it, its kind is not `closing`, and stays.
CloseOnFork::Closing::~Closing() {
    const NoFork no_fork;
    change(descriptor_, Kind::closing, Kind::unknown);
}

bool CloseOnFork::may_be_inherited() noexcept { return has_forked.load(std::memory_order_relaxed); }

void CloseOnFork::close_inherited(const Address& server, int keep) noexcept {
    if (count == 0) return;
    Blank blank;
    for_each([&](int descriptor, Kind kind) {
        if (descriptor == keep) return;
        if (kind == Kind::server || kind == Kind::control) {
            blank.replace(descriptor);
        } else if (is_client_of(descriptor, kind, server)) {
            sys::calls.close(descriptor);
        }
    });
}

}  // namespace socketserver::detail
