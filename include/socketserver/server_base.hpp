// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <stop_token>
#include <system_error>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/server_link.hpp"
#include "socketserver/server_options.hpp"
#include "socketserver/socket.hpp"

namespace socketserver {

namespace detail {
struct ServerState;
class Serving;
class Waker;
enum class Transport : unsigned char { tcp, udp, unix_stream, unix_datagram };
}  // namespace detail

/// What every server is, whatever it handles and by which policy.
///
/// Lifecycle:
///
///     [bound] --serve_forever()--> [serving] --shutdown()--> [bound] --server_close()--> [closed]
///
/// Serving may begin again after shutdown(); a closed server serves no more.
///
/// Thread safety: shutdown(), server_close() and server_address() may be called from any thread and
/// from handlers. serve_forever() may run in several threads at once; one shutdown()
/// ends them all.
///
/// What not to do: destroy a server while another thread is in serve_forever(); call shutdown()
/// first, and wait for that thread. A class that overrides hooks and is served by threads or fibers
/// calls server_close() in its own destructor, so that no request is still being served when its
/// members go.
///
/// Mirrors the part of `socketserver.BaseServer` that its callers use.
class SOCKETSERVER_EXPORT ServerBase {
  public:
    ServerBase(const ServerBase&) = delete;
    ServerBase& operator=(const ServerBase&) = delete;
    virtual ~ServerBase();

    /// @name For the caller
    /// @{

    /// Serves requests until shutdown(). service_actions() is called after each request and at
    /// least every `poll_interval`; the interval does not delay shutdown().
    ///
    /// @throws std::system_error if the server is closed, or the listening socket is unusable. The
    /// first call after server_close() returns at once instead: the thread that closes may be
    /// faster than the one that begins to serve.
    void serve_forever(std::chrono::milliseconds poll_interval = std::chrono::milliseconds{500});
    /// The same, until shutdown() or until `stop` is requested.
    void serve_forever(std::stop_token stop,
                       std::chrono::milliseconds poll_interval = std::chrono::milliseconds{500});

    /// Waits for one request, at most `ServerOptions::timeout` and the timeout of the listening
    /// socket, and serves it; calls handle_timeout() if none came. shutdown() ends the wait.
    void handle_request();

    /// Makes serve_forever() return, at once if no request is being served in its own thread.
    ///
    /// Waits until it has returned, except in a thread that runs the loop itself (a handler of a
    /// synchronous server) or in a forked child, where the call only asks. If nothing is being
    /// served, the next serve_forever() or handle_request() returns at once, and only that one.
    /// Connections that wait in the kernel stay there for the next serve.
    void shutdown();

    /// Ends serving, closes the listening socket and waits for the requests that are being served,
    /// as far as the policy has it (`block_on_close`). Idempotent. In a handler it does not wait
    /// for other handlers; the server's destructor does.
    void server_close();

    /// The descriptor to wait on in a loop of one's own; -1 when closed.
    int fileno() const noexcept;
    /// Where the server listens; until it is bound, the address that it was given.
    const Address& server_address() const noexcept { return server_address_; }
    /// The listening socket, to set options on.
    ///
    /// @throws std::system_error if the server is closed.
    Socket& socket() const;
    const ServerOptions& options() const noexcept { return options_; }
    /// @}

    /// @name For policies (see BaseServer)
    /// @{

    /// Lets the loop look again whether the policy takes requests. From any thread.
    void wake_loop() const noexcept;
    /// Readable from the moment that the server is stopped until its serving has ended.
    int stop_fileno() const noexcept;
    /// In a forked child: lets go of the listening socket and of what belongs to the parent.
    void enter_child() noexcept;
    /// In a forked worker, which goes on accepting: the loop ends when `stop` is readable, and
    /// shutdown() asks the parent.
    ///
    /// @throws std::system_error if no descriptor can be had.
    void enter_worker(int stop);
    /// In a worker, in its loop: the loop ends after this turn.
    void end_worker_loop() noexcept;
    /// In a worker that accepts no more: lets go of the listening socket.
    void leave_worker() noexcept;
    /// Calls handle_server_error().
    void report_server_error(std::exception_ptr error) noexcept;
    /// What a request keeps of a server that it may outlive.
    const std::shared_ptr<detail::ServerLink>& link() const noexcept { return link_; }
    /// @}

  protected:
    ServerBase(const Address& server_address, detail::Transport transport,
               const ServerOptions& options);
    /// Adopts a socket that is bound, and listens if it is a stream socket.
    ServerBase(Socket&& bound, detail::Transport transport, const ServerOptions& options);

    /// @name May be overridden
    /// @{

    /// Called by handle_request() when its time is over.
    virtual void handle_timeout() {}
    /// Called by serve_forever() after each turn of its loop, in its thread.
    virtual void service_actions() {}
    /// Called for an exception that belongs to no request, or that handle_error() threw. The
    /// default prints it to stderr. Serving goes on.
    virtual void handle_server_error(std::exception_ptr error);
    /// Called when a connection could not be accepted. Serving goes on; after a lack of descriptors
    /// or memory it pauses, 1 to 100 ms. The default does nothing.
    virtual void handle_accept_error(const std::system_error& error);
    /// Binds the socket to the address that the server was given.
    ///
    /// @throws std::system_error naming the address.
    virtual void server_bind();
    /// Begins to listen.
    virtual void server_activate();
    /// @}

    /// @name For derived parts of the library
    /// @{

    /// Closes what must be closed before a derived class goes. Idempotent.
    void end_before_destruction() noexcept;
    const std::shared_ptr<Socket>& shared_socket() const noexcept { return socket_; }
    /// True: go on; false: there was nothing to accept.
    ///
    /// @throws the error if no request can ever be accepted again.
    bool accept_failed(std::exception_ptr error);
    void accept_succeeded() noexcept;
    /// @}

  private:
    friend class ShutdownOnSignal;
    friend struct detail::ServerState;
    friend class detail::Serving;

    // What BaseServer knows of its handler and its policy.
    virtual bool serve_one() = 0;
    virtual void policy_serve(const std::function<void()>& loop, bool forever) = 0;
    virtual void policy_service() = 0;
    virtual bool policy_ready() = 0;
    virtual int policy_fileno() = 0;
    virtual void policy_close(bool wait) = 0;

    void call_service_actions() noexcept;
    void let_go() noexcept;
    const detail::Waker& stop_waker() const noexcept;

    ServerOptions options_;
    detail::Transport transport_;
    Address server_address_;
    Address numeric_address_;
    std::shared_ptr<Socket> socket_;
    std::unique_ptr<detail::ServerState> state_;
    std::shared_ptr<detail::ServerLink> link_;
};

}  // namespace socketserver
