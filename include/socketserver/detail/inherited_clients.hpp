// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// Clients of a server in the program that serves: their sockets, as a forked worker inherits them.
/// While the worker had a copy, the server would never see such a client close its connection.
///
/// Thread safety: none; it belongs to the worker's serving thread.
class SOCKETSERVER_EXPORT InheritedClients {
  public:
    /// Notes the sockets that are, or may still become, connected to the listening socket.
    void find(int listening);
    /// Closes those that are connected to it.
    void close_connected(int listening) noexcept;

  private:
    std::vector<int> sockets_;
};

}  // namespace socketserver::detail
