// SPDX-License-Identifier: MIT
#pragma once

namespace socketserver::detail {

/// Called when another process has become the main process of the service. From then on
/// systemd::notify() sends nothing, because the state of this process is not the state of the
/// service any more; "STOPPING=1", for example, would be wrong.
void leave_service() noexcept;

}  // namespace socketserver::detail
