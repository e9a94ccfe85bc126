// SPDX-License-Identifier: MIT
#include "io/splice_pipe.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <new>

#include "os/no_sigpipe.hpp"
#include "os/sys.hpp"

namespace socketserver::detail {

namespace {

constexpr int wanted_capacity = 1 << 18;
constexpr int least_capacity = 1 << 16;
constexpr unsigned splice_flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

}  // namespace

std::unique_ptr<SplicePipe> SplicePipe::make() noexcept {
    std::array<int, 2> ends{};
    if (sys::calls.pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == -1) return nullptr;
    // If this fails, the pipe keeps its size, which is looked at below.
    ::fcntl(ends[1], F_SETPIPE_SZ, wanted_capacity);
    const int capacity = ::fcntl(ends[1], F_GETPIPE_SZ);
    if (capacity >= least_capacity) {
        std::unique_ptr<SplicePipe> pipe{
            new (std::nothrow) SplicePipe{ends[0], ends[1], static_cast<std::size_t>(capacity)}};
        if (pipe != nullptr) return pipe;
    }
    for (const int each : ends) ::close(each);
    return nullptr;
}

SplicePipe::~SplicePipe() {
    ::close(reading_);
    ::close(writing_);
}

ssize_t SplicePipe::receive(int connection) noexcept {
    const ssize_t received = sys::retry_on_eintr(
        [&] { return sys::calls.splice(connection, writing_, capacity_ - size_, splice_flags); });
    if (received > 0) size_ += static_cast<std::size_t>(received);
    return received;
}

ssize_t SplicePipe::send(int connection) noexcept {
    const NoSigpipe no_sigpipe;
    const ssize_t sent = sys::retry_on_eintr(
        [&] { return sys::calls.splice(reading_, connection, size_, splice_flags); });
    if (sent > 0) size_ -= static_cast<std::size_t>(sent);
    return sent;
}

}  // namespace socketserver::detail
