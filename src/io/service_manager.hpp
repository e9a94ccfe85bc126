// SPDX-License-Identifier: MIT
#pragma once

namespace socketserver::detail {

/// Another process is the main one of the service from now on: what this one would tell the manager
/// is no longer of interest, and that it stops would be wrong. systemd::notify() tells nothing.
void leave_service() noexcept;

}  // namespace socketserver::detail
