// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// The stream sockets that this process made and that are, or may become, clients of a server. A
/// program may be the client of its own server, as tests are. A forked child would then inherit the
/// client's end of a connection, and nobody would ever see that client close it.
///
/// Thread safety: all members may be called from any thread, and in a forked child.
class SOCKETSERVER_EXPORT ClientSockets {
  public:
    /// While one lives nobody forks: a child would have a descriptor that is not known here for the
    /// moment between making and adding it, or between removing and closing it.
    class NoFork {
      public:
        NoFork() noexcept;
        NoFork(const NoFork&) = delete;
        NoFork& operator=(const NoFork&) = delete;
        ~NoFork();
    };

    static void add(int descriptor) noexcept;
    static bool knows(int descriptor) noexcept;
    static void remove(int descriptor) noexcept;
    /// Whether this process has ever forked, or was forked: then another one may have a copy of any
    /// descriptor.
    static bool may_be_inherited() noexcept;
    /// In a forked child: closes those that are connected to `server`, and those that may still
    /// become so in the parent. Costs a glance if there are none.
    static void close_inherited(const Address& server) noexcept;
};

}  // namespace socketserver::detail
