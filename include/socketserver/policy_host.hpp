// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <exception>
#include <memory>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/connection_handle.hpp"

namespace socketserver {

class ServerBase;
namespace detail {
class ServerLink;
}

/// What a policy may do with its server, and handlers may not. A policy gets it from
/// Policy::policy_host(); nobody else has access to it.
///
/// It lives as long as the server.
///
/// Thread safety: functions may be called in the serving thread only, unless their description says
/// otherwise.
class SOCKETSERVER_EXPORT PolicyHost {
  public:
    PolicyHost(const PolicyHost&) = delete;
    PolicyHost& operator=(const PolicyHost&) = delete;

    /// The server as its handlers see it, with wake_loop() and is_draining().
    ServerBase& server() const noexcept { return *server_; }
    /// The way from a request to its server, for a request that may outlive the server. May be
    /// called from any thread.
    const std::shared_ptr<detail::ServerLink>& link() const noexcept;
    /// Calls handle_server_error(). May be called from any thread.
    void report_server_error(std::exception_ptr error) noexcept;

    /// A descriptor that is readable from the moment at which the server is stopped until serving
    /// has ended. May be called from any thread.
    int stop_fileno() const noexcept;
    /// Called after the loop: waits until `descriptor` is readable. Returns false if the server is
    /// stopped, because then nobody waits for its requests. In a worker that retires, this function
    /// also follows a drain of the parent.
    ///
    /// @throws std::system_error if poll(2) fails for a reason that will not go away.
    bool wait_unless_stopped(int descriptor) const;

    /// @name For a process that serves one request
    /// @{

    /// Called in the child: closes the listening socket, and forgets what belongs to the parent.
    void enter_child() noexcept;
    /// Called in the parent when the child has been waited for: calls connection_closed() for its
    /// request.
    void announce_closed(detail::ConnectionHandle connection) noexcept;
    /// @}

    /// @name For processes that accept for themselves
    /// @{

    /// Which of the sockets of a server a worker serves, if there is one for each worker
    /// (ServerOptions::socket_per_worker). The default is all of them.
    struct WorkerNumber {
        std::size_t number =
            0;  ///< from 0; a worker that is replaced leaves its number to the next
        std::size_t workers = 1;  ///< how many there are
    };
    /// Called in the parent before the first worker is forked. If there is one for each worker,
    /// opens `workers` sockets, as far as there are fewer.
    ///
    /// @throws std::system_error if there is no memory for what workers share, or if a socket
    /// cannot be opened.
    void prepare_workers(std::size_t workers = 1);
    /// Called in a worker. From then on the loop ends when `stop` is readable, and shutdown() asks
    /// the parent to stop.
    ///
    /// @throws std::system_error if no descriptor can be had.
    void enter_worker(int stop, WorkerNumber number);
    /// The same for a worker that serves all sockets.
    void enter_worker(int stop);
    /// Called in the loop of a worker: the loop ends after this turn.
    void end_worker_loop() noexcept;
    /// Called in a worker that accepts no more: closes the listening socket.
    void leave_worker() noexcept;
    /// Called in the parent when a worker has been waited for: counts the requests that the worker
    /// did not end.
    void worker_has_ended(int pid) noexcept;
    /// @}

  private:
    friend class Policy;
    friend class ServerBase;
    PolicyHost() = default;

    ServerBase* server_ = nullptr;
};

}  // namespace socketserver
