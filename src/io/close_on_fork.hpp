// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// The descriptors of this process that a forked child must not keep. Close-on-exec does nothing
/// for them, because the child executes no other program. There are three kinds:
///
/// - clients. A program may be the client of its own server, as tests are. If a child kept the
///   client's end of a connection, the server would never see that client close it;
/// - sockets of servers. If a child kept the socket of another server, the address of that one
///   would stay taken after it was closed;
/// - the parent's ends of the workers' controls. If a child kept one, that worker would not see the
///   end of its parent.
///
/// Thread safety: all members may be called from any thread, and in a forked child.
class SOCKETSERVER_EXPORT CloseOnFork {
  public:
    /// While one lives, no thread of the process forks. It is held from making a descriptor to
    /// adding it, because a child that is forked in between would keep the descriptor. It must not
    /// be held across anything that may wait, because a thread that forks waits for it.
    class NoFork {
      public:
        NoFork() noexcept { forbid_fork(); }
        NoFork(const NoFork&) = delete;
        NoFork& operator=(const NoFork&) = delete;
        ~NoFork() { allow_fork(); }
    };
    /// The same by hand, in pairs. They do not nest on one thread.
    static void forbid_fork() noexcept;
    static void allow_fork() noexcept;

    /// A stream socket that is, or may become, a client of a server.
    static void add_client(int descriptor) noexcept;
    /// The socket of a server, bound or soon to be.
    static void add_server(int descriptor) noexcept;
    /// The parent's end of a worker's control.
    static void add_control(int descriptor) noexcept;
    static bool knows(int descriptor) noexcept;
    static void remove(int descriptor) noexcept;
    /// The socket listens now and will not become a client. Another kind is kept.
    static void remove_client(int descriptor) noexcept;

    /// While one lives, its descriptor is being closed, which may take time (SO_LINGER). A child
    /// that is forked meanwhile still closes it.
    class Closing {
      public:
        explicit Closing(int descriptor) noexcept;
        Closing(const Closing&) = delete;
        Closing& operator=(const Closing&) = delete;
        ~Closing();

      private:
        int descriptor_;
    };

    /// Whether this process has ever forked, or was forked. If so, another process may have a copy
    /// of any descriptor.
    static bool may_be_inherited() noexcept;
    /// In a child that was forked for `server`, whose own socket is `keep`: closes the clients that
    /// are connected to the server or may still connect to it in the parent, and lets go of the
    /// sockets of all other servers and of the controls. The numbers of the latter stay taken,
    /// because objects that the child has copies of still name them. Reads one integer if there are
    /// none.
    static void close_inherited(const Address& server, int keep) noexcept;
};

}  // namespace socketserver::detail
