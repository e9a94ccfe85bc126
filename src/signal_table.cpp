// SPDX-License-Identifier: MIT
#include "signal_table.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <system_error>

#include "socketserver/detail/waker.hpp"

namespace socketserver::detail {

namespace {

constexpr std::size_t most_servers = 64;

struct Entry {
    std::atomic<int> signal{0};
    std::atomic<const Waker*> waker{nullptr};
};

// A fixed table of lock-free atomics: all that a signal handler may look at.
constinit std::array<Entry, most_servers> entries{};
constinit std::array<struct sigaction, NSIG> former{};
constinit std::mutex writing;
constinit std::atomic<pid_t> owner{0};
constinit std::atomic<pid_t> worker{0};
constinit std::atomic<int> waking{0};  // handlers that may hold a waker at the moment

extern "C" void socketserver_on_signal(int signal) {
    if (const pid_t self = ::getpid(); self != owner.load()) {
        if (self == worker.load()) return;
        const int saved = errno;
        ::sigaction(signal, &former[static_cast<std::size_t>(signal)], nullptr);
        ::raise(signal);  // comes when this handler returns
        errno = saved;
        return;
    }
    ++waking;
    for (const Entry& entry : entries) {
        if (entry.signal.load() != signal) continue;
        if (const Waker* waker = entry.waker.load()) waker->wake();
    }
    --waking;
}

bool is_used(int signal) {
    return std::any_of(entries.begin(), entries.end(), [signal](const Entry& entry) {
        return entry.waker.load() != nullptr && entry.signal.load() == signal;
    });
}

}  // namespace

void SignalTable::add(int signal, const Waker& waker) {
    const std::lock_guard lock{writing};
    adopt();
    const bool first = !is_used(signal);
    const auto free = std::find_if(entries.begin(), entries.end(), [](const Entry& entry) {
        return entry.waker.load() == nullptr;
    });
    if (free == entries.end()) {
        throw std::system_error(ENOSPC, std::system_category(),
                                "ShutdownOnSignal: too many servers and signals");
    }
    free->signal = signal;
    free->waker = &waker;
    if (!first) return;
    struct sigaction action {};
    action.sa_handler = socketserver_on_signal;
    action.sa_flags = SA_RESTART;  // the library needs no EINTR; other code may not expect one
    sigemptyset(&action.sa_mask);
    if (::sigaction(signal, &action, &former.at(static_cast<std::size_t>(signal))) == -1) {
        const int error = errno;
        free->waker = nullptr;
        throw std::system_error(error, std::system_category(),
                                "ShutdownOnSignal: signal " + std::to_string(signal));
    }
}

void SignalTable::remove(int signal, const Waker& waker) noexcept {
    const std::lock_guard lock{writing};
    // One entry of those that are alike: several objects may wait for one server.
    const auto own = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) {
        return entry.waker.load() == &waker && entry.signal.load() == signal;
    });
    if (own != entries.end()) own->waker = nullptr;
    if (!is_used(signal)) {
        ::sigaction(signal, &former.at(static_cast<std::size_t>(signal)), nullptr);
    }
    // The caller may destroy the waker now. A handler in another thread may have read it before; it
    // is a few instructions from its end.
    while (waking.load() > 0) ::sched_yield();
}

void SignalTable::adopt() noexcept { owner = ::getpid(); }

void SignalTable::enter_worker() noexcept { worker = ::getpid(); }

}  // namespace socketserver::detail
