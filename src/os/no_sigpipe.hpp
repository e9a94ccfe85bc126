// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// While one lives, writing to a pipe or socket whose reader has gone fails with EPIPE in this
/// thread and raises no SIGPIPE, however the program handles that signal. A SIGPIPE that was
/// pending before is delivered afterwards. errno is not changed.
///
/// send(2) has a flag for this (MSG_NOSIGNAL). write(2), which stdio uses, and sendfile(2) have
/// none. May be used in a signal handler: it takes no lock and allocates nothing.
class SOCKETSERVER_EXPORT NoSigpipe {
  public:
    NoSigpipe() noexcept;
    NoSigpipe(const NoSigpipe&) = delete;
    NoSigpipe& operator=(const NoSigpipe&) = delete;
    ~NoSigpipe();

  private:
    sigset_t before_{};
    bool was_pending_ = false;
};

}  // namespace socketserver::detail
