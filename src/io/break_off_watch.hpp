// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "socketserver/detail/io/connection_handle.hpp"
#include "socketserver/detail/io/watch.hpp"
#include "socketserver/detail/os/waker.hpp"

namespace socketserver::detail {

/// Has a descriptor that becomes readable when the server breaks the request off. For waits for
/// something else than the connection, which the end of the connection does not end. Implemented
/// one floor above, in src/request.
///
/// If a child process serves the request, the descriptor never becomes readable: such a child is
/// killed.
class BreakOffWatch {
  public:
    /// @param request null: nothing is broken off.
    /// @throws std::system_error if no descriptor can be had.
    explicit BreakOffWatch(Connection* request);
    BreakOffWatch(const BreakOffWatch&) = delete;
    BreakOffWatch& operator=(const BreakOffWatch&) = delete;
    ~BreakOffWatch();

    /// The descriptor, or -1 if there is no request that could be broken off.
    int fileno() const noexcept { return waker_ ? waker_->fileno() : -1; }
    bool is_broken_off() const noexcept;

  private:
    Connection* request_ = nullptr;
    std::optional<Waker> waker_;
    Watch watch_;
};

}  // namespace socketserver::detail
