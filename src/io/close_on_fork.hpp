// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// The descriptors of this process that a child of it must not keep. A program may be the client of
/// its own server, as tests are: a forked child would inherit the client's end of a connection, and
/// nobody would ever see that client close it. It may have several servers: a child of one would
/// keep the address of another one that was closed. And it has an end of each worker's control: a
/// child that keeps one keeps the worker from seeing the end of its parent.
///
/// Thread safety: all members may be called from any thread, and in a forked child.
class SOCKETSERVER_EXPORT CloseOnFork {
  public:
    /// While one lives nobody forks: a child would have a descriptor that is not known here for the
    /// moment between making and adding it. Not to be held across what may wait: who forks waits.
    class NoFork {
      public:
        NoFork() noexcept;
        NoFork(const NoFork&) = delete;
        NoFork& operator=(const NoFork&) = delete;
        ~NoFork();
    };

    /// A stream socket that is, or may become, a client of a server.
    static void add_client(int descriptor) noexcept;
    /// The socket of a server, bound or soon to be.
    static void add_server(int descriptor) noexcept;
    /// The parent's end of a worker's control.
    static void add_control(int descriptor) noexcept;
    static bool knows(int descriptor) noexcept;
    static void remove(int descriptor) noexcept;
    /// It listens, and will be no client; what else it is stays known.
    static void remove_client(int descriptor) noexcept;

    /// While one lives its descriptor is being closed, which may take its time (SO_LINGER). In a
    /// child that is forked meanwhile it is still known.
    class Closing {
      public:
        explicit Closing(int descriptor) noexcept;
        Closing(const Closing&) = delete;
        Closing& operator=(const Closing&) = delete;
        ~Closing();

      private:
        int descriptor_;
    };

    /// Whether this process has ever forked, or was forked: then another one may have a copy of any
    /// descriptor.
    static bool may_be_inherited() noexcept;
    /// In a child that was forked for `server`, whose own socket is `keep`: closes what is
    /// connected to it and what may still become so in the parent, and lets go of the sockets of
    /// all other servers. Their numbers stay taken: objects that the child has copies of still name
    /// them. Costs a glance if there is nothing.
    static void close_inherited(const Address& server, int keep) noexcept;
};

}  // namespace socketserver::detail
