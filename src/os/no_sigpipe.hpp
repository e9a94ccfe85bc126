// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// While one lives, writing to a pipe or socket whose reader has gone fails with EPIPE in this
/// thread and raises no SIGPIPE, whatever the program has made of that signal. A SIGPIPE that was
/// waiting before still comes, afterwards. errno is left alone.
///
/// send(2) knows a flag for this; write(2), which is all that stdio and stderr have, does not.
/// May be used in a signal handler: it takes no lock and allocates nothing.
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
