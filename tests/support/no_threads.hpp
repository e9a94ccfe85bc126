// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>

#include <cstddef>
#include <limits>
#include <stdexcept>

namespace socketserver::tests {

/// While it lives, std::thread gets no thread: there is no room for its stack, as there is none for
/// another process under RLIMIT_NPROC, which the superuser does not have.
class NoThreads {
  public:
    NoThreads() {
        pthread_attr_t attributes;
        if (::pthread_getattr_default_np(&before_) != 0 || ::pthread_attr_init(&attributes) != 0 ||
            ::pthread_attr_setstacksize(&attributes, too_large) != 0 ||
            ::pthread_setattr_default_np(&attributes) != 0) {
            throw std::runtime_error("the size of stacks cannot be set");
        }
        ::pthread_attr_destroy(&attributes);
    }
    NoThreads(const NoThreads&) = delete;
    NoThreads& operator=(const NoThreads&) = delete;
    ~NoThreads() {
        ::pthread_setattr_default_np(&before_);
        ::pthread_attr_destroy(&before_);
    }

  private:
    static constexpr std::size_t too_large = std::numeric_limits<std::size_t>::max() / 16 * 15;
    pthread_attr_t before_{};
};

}  // namespace socketserver::tests
