// SPDX-License-Identifier: MIT
#include "os/no_sigpipe.hpp"

#include <cerrno>
#include <ctime>

#include "os/sys.hpp"

namespace socketserver::detail {

namespace {

sigset_t sigpipe_only() noexcept {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    return signals;
}

}  // namespace

NoSigpipe::NoSigpipe() noexcept {
    const int saved = errno;
    const sigset_t sigpipe = sigpipe_only();
    ::pthread_sigmask(SIG_BLOCK, &sigpipe, &before_);
    sigset_t pending;
    sigemptyset(&pending);
    ::sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    errno = saved;
}

NoSigpipe::~NoSigpipe() {
    const int saved = errno;
    if (!was_pending_) {
        // The kernel sends SIGPIPE to the thread that wrote before write(2) returns, so it is
        // pending now.
        const sigset_t sigpipe = sigpipe_only();
        const timespec at_once{};
        sys::retry_on_eintr([&] { return ::sigtimedwait(&sigpipe, nullptr, &at_once); });
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = saved;
}

}  // namespace socketserver::detail
