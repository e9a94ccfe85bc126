// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <memory>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/connection_handle.hpp"

namespace socketserver {

class ServerBase;
namespace detail {
class ServerLink;
}

/// What a policy may do with its server, and what handlers must not: a policy gets it from
/// Policy::policy_host(), and nobody else has it.
///
/// Lives as long as the server. Functions may be called in the serving thread, unless they say
/// otherwise.
class SOCKETSERVER_EXPORT PolicyHost {
  public:
    PolicyHost(const PolicyHost&) = delete;
    PolicyHost& operator=(const PolicyHost&) = delete;

    /// The server as its handlers see it, with wake_loop() and is_draining().
    ServerBase& server() const noexcept { return *server_; }
    /// What a request keeps of a server that it may outlive. From any thread.
    const std::shared_ptr<detail::ServerLink>& link() const noexcept;
    /// Calls handle_server_error(). From any thread.
    void report_server_error(std::exception_ptr error) noexcept;

    /// Readable from the moment that the server is stopped until its serving has ended. From any
    /// thread.
    int stop_fileno() const noexcept;
    /// After the loop: waits until `descriptor` is readable. False: the server is stopped, and
    /// nobody waits for its requests. In a worker that retires, the drain of its parent takes place
    /// meanwhile.
    ///
    /// @throws std::system_error if it cannot wait, now or later.
    bool wait_unless_stopped(int descriptor) const;

    /// @name For a process that serves one request
    /// @{

    /// In the child: lets go of the listening socket and of what belongs to the parent.
    void enter_child() noexcept;
    /// In the parent, when the child has been waited for: the last word on the request, which is
    /// connection_closed().
    void announce_closed(detail::ConnectionHandle connection) noexcept;
    /// @}

    /// @name For processes that accept for themselves
    /// @{

    /// In the parent, before the first worker is forked.
    ///
    /// @throws std::system_error if there is no memory for what workers share.
    void prepare_workers();
    /// In a worker: the loop ends when `stop` is readable, and shutdown() asks the parent.
    ///
    /// @throws std::system_error if no descriptor can be had.
    void enter_worker(int stop);
    /// In a worker, in its loop: the loop ends after this turn.
    void end_worker_loop() noexcept;
    /// In a worker that accepts no more: lets go of the listening socket.
    void leave_worker() noexcept;
    /// In the parent, when a worker has been waited for: counts the requests that it has not ended.
    void worker_has_ended(int pid) noexcept;
    /// @}

  private:
    friend class Policy;
    friend class ServerBase;
    PolicyHost() = default;

    ServerBase* server_ = nullptr;
};

}  // namespace socketserver
