// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>

namespace socketserver::detail {

/// A pipe by which splice(2) passes bytes from one TCP connection to another without copying them.
/// Both connections must be non-blocking.
///
/// Thread safety: none.
class SplicePipe {
  public:
    /// Returns null if no pipe can be had, or only one that is so small that copying is faster:
    /// the kernel gives a user who has many pipes small ones.
    static std::unique_ptr<SplicePipe> make() noexcept;
    SplicePipe(const SplicePipe&) = delete;
    SplicePipe& operator=(const SplicePipe&) = delete;
    ~SplicePipe();

    /// How many bytes are in the pipe.
    std::size_t size() const noexcept { return size_; }
    /// Takes what the connection has received, if the pipe is empty. As recv(2): 0 at the end of
    /// the input, and -1 with errno, which is EINVAL if such bytes cannot be spliced.
    ssize_t receive(int connection) noexcept;
    /// Sends what is in the pipe. As send(2), without SIGPIPE.
    ssize_t send(int connection) noexcept;

  private:
    SplicePipe(int reading, int writing, std::size_t capacity) noexcept
        : reading_{reading}, writing_{writing}, capacity_{capacity} {}

    int reading_;
    int writing_;
    std::size_t capacity_;
    std::size_t size_ = 0;
};

}  // namespace socketserver::detail
