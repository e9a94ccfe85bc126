// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "socketserver/detail/io/connection_handle.hpp"
#include "socketserver/detail/io/watch.hpp"
#include "socketserver/detail/os/waker.hpp"

namespace socketserver::detail {

/// For as long as it lives: a descriptor that becomes readable when the server breaks the request
/// off. For waits that the end of the connection itself does not end, because they are for
/// something else. Implemented one floor above, in src/request.
///
/// Of a request that a child process serves there is nothing to be seen: the child is killed.
class BreakOffWatch {
  public:
    /// @param request null: nothing is broken off.
    /// @throws std::system_error if no descriptor can be had.
    explicit BreakOffWatch(Connection* request);
    BreakOffWatch(const BreakOffWatch&) = delete;
    BreakOffWatch& operator=(const BreakOffWatch&) = delete;
    ~BreakOffWatch();

    /// -1: nothing is broken off.
    int fileno() const noexcept { return waker_ ? waker_->fileno() : -1; }
    bool is_broken_off() const noexcept;

  private:
    Connection* request_ = nullptr;
    std::optional<Waker> waker_;
    Watch watch_;
};

}  // namespace socketserver::detail
