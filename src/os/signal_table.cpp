// SPDX-License-Identifier: MIT
#include "os/signal_table.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <string>
#include <system_error>

#include "socketserver/detail/os/waker.hpp"

namespace socketserver::detail {

namespace {

constexpr std::size_t most_servers = 64;

struct Entry {
    std::atomic<int> signal{0};
    std::atomic<const Waker*> waker{nullptr};  // null: the entry is free
    std::atomic<const Waker*> then_wakes{nullptr};
    std::atomic<std::atomic<bool>*> has_come{nullptr};
    std::atomic<pid_t> process{0};
    const Waker* stop = nullptr;  // this member and the next one are guarded by the lock
    const void* key = nullptr;
};

// A fixed table of lock-free atomics, because a signal handler may read nothing else.
constinit std::array<Entry, most_servers> entries{};
constinit std::array<struct sigaction, NSIG> former{};
constinit std::atomic<pid_t> writer{0};   // the process that writes; 0 if none does
constinit std::atomic<pid_t> process{0};  // the process that has written last
constinit std::atomic<pid_t> worker{0};
constinit std::atomic<pid_t> child{0};
constinit std::atomic<int> waking{0};  // handlers of this process that may hold a waker

/// The lock. If a thread of the parent held it at a fork, it is free in the child.
class Writing {
  public:
    Writing() noexcept {
        const pid_t self = ::getpid();
        for (pid_t holder = 0; !writer.compare_exchange_weak(holder, self); holder = 0) {
            if (holder == 0 || holder == self) {
                ::sched_yield();
            } else {
                writer.compare_exchange_strong(holder, 0);
            }
        }
        if (process == self) return;
        waking = 0;  // the count was of threads of the parent
        process = self;
    }
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;
    ~Writing() { writer = 0; }
};

bool wake_own(int signal, pid_t self) {
    if (process != self) return false;
    bool found = false;
    ++waking;
    for (const Entry& entry : entries) {
        if (entry.signal.load() != signal || entry.process.load() != self) continue;
        if (const Waker* waker = entry.waker.load()) {
            if (std::atomic<bool>* has_come = entry.has_come.load()) *has_come = true;
            waker->wake();
            if (const Waker* other = entry.then_wakes.load()) other->wake();
            found = true;
        }
    }
    --waking;
    return found;
}

bool is_left_to_the_parent(const siginfo_t& info, pid_t self) {
    if (self == worker) return true;
    if (self != child) return false;
    const bool is_sent = info.si_code == SI_USER || info.si_code == SI_TKILL;
    return !is_sent || (info.si_pid != self && info.si_pid != ::getppid());
}

extern "C" void socketserver_on_signal(int signal, siginfo_t* info, void*) {
    const int saved = errno;
    const pid_t self = ::getpid();
    if (!wake_own(signal, self) && !is_left_to_the_parent(*info, self)) {
        // The signal is treated as if it had come after the last entry was removed.
        ::sigaction(signal, &former[static_cast<std::size_t>(signal)], nullptr);
        ::raise(signal);  // comes when this handler returns
    }
    errno = saved;
}

bool is_caught(const struct sigaction& action) {
    return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == socketserver_on_signal;
}

bool is_ignored(const struct sigaction& action) {
    return (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_IGN;
}

[[noreturn]] void throw_cannot_catch(int signal, int error) {
    throw std::system_error(error, std::system_category(),
                            "ShutdownOnSignal: signal " + std::to_string(signal));
}

}  // namespace

bool SignalTable::add(int signal, const SignalEffect& effect, const Waker& stop, const void* key) {
    const Writing lock;
    struct sigaction now {};
    if (::sigaction(signal, nullptr, &now) == -1) throw_cannot_catch(signal, errno);
    if (is_ignored(now)) return false;
    const auto free = std::find_if(entries.begin(), entries.end(), [](const Entry& entry) {
        return entry.waker.load() == nullptr;
    });
    if (free == entries.end()) {
        throw std::system_error(ENOSPC, std::system_category(),
                                "ShutdownOnSignal: too many servers and signals");
    }
    free->stop = &stop;
    free->key = key;
    free->process = ::getpid();
    free->signal = signal;
    free->then_wakes = effect.then_wakes;
    free->has_come = effect.has_come;
    free->waker = &effect.wakes;
    if (is_caught(now)) return true;
    former.at(static_cast<std::size_t>(signal)) = now;
    struct sigaction action {};
    action.sa_sigaction = socketserver_on_signal;
    // The library needs no EINTR; other code may not expect one.
    action.sa_flags = SA_RESTART | SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    if (::sigaction(signal, &action, nullptr) == -1) {
        const int error = errno;
        free->waker = nullptr;
        throw_cannot_catch(signal, error);
    }
    return true;
}

void SignalTable::remove(int signal, const void* key) noexcept {
    const Writing lock;
    const pid_t self = ::getpid();
    bool is_used_here = false;
    for (Entry& entry : entries) {
        if (entry.waker.load() == nullptr || entry.signal.load() != signal) continue;
        if (entry.key == key) {
            entry.waker = nullptr;
        } else if (entry.process.load() == self) {
            is_used_here = true;
        }
    }
    struct sigaction now {};
    if (!is_used_here && ::sigaction(signal, nullptr, &now) == 0 && is_caught(now)) {
        ::sigaction(signal, &former.at(static_cast<std::size_t>(signal)), nullptr);
    }
    // The caller may destroy the waker now. A handler in another thread may have read it before; it
    // is a few instructions from its end.
    while (waking.load() > 0) ::sched_yield();
}

void SignalTable::redirect(const void* key, const Waker& to) noexcept {
    const Writing lock;
    for (Entry& entry : entries) {
        if (entry.waker.load() == nullptr || entry.key != key) continue;
        entry.then_wakes = nullptr;
        entry.has_come = nullptr;
        entry.waker = &to;
    }
}

void SignalTable::adopt(const Waker& stop) noexcept {
    const Writing lock;
    for (Entry& entry : entries) {
        if (entry.waker.load() == nullptr || entry.stop != &stop) continue;
        entry.then_wakes = nullptr;
        entry.waker = &stop;
        entry.process = ::getpid();
    }
}

void SignalTable::enter_worker() noexcept { worker = ::getpid(); }

void SignalTable::enter_child() noexcept { child = ::getpid(); }

bool SignalTable::is_used() noexcept { return process.load() != 0; }

}  // namespace socketserver::detail
