// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>

#include <cerrno>

namespace socketserver::detail {

/// A mutex in memory that processes share. It survives the death of the process that holds it. It
/// is never destroyed, because another process may still use it.
class RobustMutex {
  public:
    RobustMutex() noexcept {
        pthread_mutexattr_t attributes;
        ::pthread_mutexattr_init(&attributes);
        ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        ::pthread_mutex_init(&mutex_, &attributes);
        ::pthread_mutexattr_destroy(&attributes);
    }
    RobustMutex(const RobustMutex&) = delete;
    RobustMutex& operator=(const RobustMutex&) = delete;

    /// @param repair called if a process died while it held the mutex. Must not throw.
    template <class Repair>
    void lock(Repair repair) noexcept {
        if (::pthread_mutex_lock(&mutex_) != EOWNERDEAD) return;
        repair();
        ::pthread_mutex_consistent(&mutex_);
    }
    void unlock() noexcept { ::pthread_mutex_unlock(&mutex_); }

  private:
    pthread_mutex_t mutex_{};
};

}  // namespace socketserver::detail
