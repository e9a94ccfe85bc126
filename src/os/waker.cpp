// SPDX-License-Identifier: MIT
#include "socketserver/detail/os/waker.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "os/sys.hpp"
#include "os/system_error.hpp"

namespace socketserver::detail {

namespace {
int create_eventfd() {
    const int descriptor = sys::calls.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (descriptor == -1) throw_system_error("create a wake-up descriptor");
    return descriptor;
}
}  // namespace

Waker::Waker() : descriptor_{create_eventfd()}, watched_{descriptor_.load()} {}

Waker::~Waker() { sys::calls.close(descriptor_); }

void Waker::renew() {
    const int own = create_eventfd();
    const int parents = descriptor_.exchange(own);
    watched_ = own;
    sys::calls.close(parents);  // last, because a signal handler may call wake()
}

void Waker::wake() const noexcept {
    // This may run in a signal handler, which must not change errno. The write can fail only if the
    // counter is full, and then the descriptor is readable anyway.
    const int saved = errno;
    constexpr std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(descriptor_, &one, sizeof one);
    errno = saved;
}

void Waker::reset() const noexcept {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(descriptor_, &count, sizeof count);
}

}  // namespace socketserver::detail
