// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <system_error>
#include <vector>

#include "socketserver/address.hpp"
#include "socketserver/connection_info.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/connection_handle.hpp"
#include "socketserver/detail/request/place.hpp"
#include "socketserver/drain_report.hpp"
#include "socketserver/server_options.hpp"
#include "socketserver/socket.hpp"
#include "socketserver/statistics.hpp"

namespace socketserver {

class Policy;
class Transport;

namespace detail {
class DrainOnSignal;
class Upgrader;
struct HandlerAccess;
struct ServerState;
class Serving;
class Waker;
/// What came of trying to accept.
enum class Turn : unsigned char { took, nothing, later };
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
/// Processes: in a child that the program forks a server is the parent's, until the child serves
/// it, drains it or makes a ShutdownOnSignal for it; then the child has its own, on the same
/// socket. See docs/guide/stopping.md.
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
    ///
    /// May be overridden; a handler's `server().shutdown()` then calls the override. What stops the
    /// server without a call of this, a signal (ShutdownOnSignal), a `std::stop_token` or a drain,
    /// does not.
    virtual void shutdown();

    /// Ends serving, closes the listening socket and waits for the requests that are being served,
    /// as far as the policy has it (`block_on_close`). Idempotent. In a handler it does not wait
    /// for other handlers; the server's destructor does.
    ///
    /// May be overridden. The destructor of this class calls its own, because that of the derived
    /// class has run by then: a class that overrides it calls it in its destructor.
    virtual void server_close();

    /// Stops accepting; clients wait in the kernel's queue. What was accepted is served on. From
    /// any thread.
    void pause() noexcept;
    /// Goes on accepting.
    void resume() noexcept;

    /// Ends serving in order: no more connections are accepted, and what the kernel has queued is
    /// served; connections whose client owes the next request are closed; the others may finish
    /// until the time is over; the rest is broken off, and its handlers get Cancelled. Returns when
    /// all have ended, at most two seconds later than `within`. The server is closed then.
    ///
    /// Who has connected and sent nothing yet has a second to begin. A forked child whose time is
    /// over is sent SIGTERM, then SIGKILL. If nothing is being served, the queue is served by a
    /// thread of this call. Several drains may run at once; the one with the least time has its
    /// way. Once the server is closed a drain does nothing.
    ///
    /// The socket is turned away from clients for every process that has it. Where a service
    /// manager or another process has it as well, say AcceptQueue::leave; for copies of the server
    /// that the program forked and that are served, this is done so anyway.
    ///
    /// @throws std::logic_error in a handler of this server, for which it would wait.
    /// @throws std::system_error if a thread is needed and cannot be had; nothing has changed then.
    DrainReport drain(std::chrono::nanoseconds within, AcceptQueue queue = AcceptQueue::serve);
    /// Whether drain() has begun: a handler that talks a protocol with persistent connections may
    /// announce the end.
    bool is_draining() const noexcept;

    /// What the server has done and does. From any thread, without a lock.
    Statistics statistics() const;
    /// Who is being served, or waits to be, in this process; of children and workers nothing but
    /// what this process knows of them: of a child of ForkingMixIn that it serves a client, of a
    /// worker of PreforkMixIn nothing. From any thread. Takes the lock that each request takes when
    /// it is accepted and when it ends: for a look now and then.
    ///
    /// @throws std::bad_alloc
    std::vector<ConnectionInfo> connections() const;

    /// The descriptor to wait on in a loop of one's own; -1 when closed.
    int fileno() const noexcept;
    /// Where the server listens; until it is bound, the address that it was given.
    const Address& server_address() const noexcept { return server_address_; }
    /// The listening socket, to set options on.
    ///
    /// @throws std::system_error if the server is closed.
    Socket& socket() const;
    /// As they were at construction.
    const ServerOptions& options() const noexcept { return options_; }

    /// The limits and timeouts that are in force. From any thread.
    LiveOptions live_options() const noexcept;
    /// Changes limits and timeouts while the server serves: all of them, so begin with what
    /// live_options() returns. From any thread, and from any process that serves: workers of
    /// PreforkMixIn and children of ForkingMixIn have the same.
    ///
    /// A limit counts from the next client on. Nobody is sent away for one that is lower than what
    /// is there. `max_connections_per_address`, and under PreforkMixIn `max_connections`, if the
    /// server had no such limit before, count only who is accepted from then on. A timeout counts
    /// from the next time that it would begin.
    void set_live_options(const LiveOptions& options) noexcept;

    /// Lets the loop look again whether the policy takes requests (Policy::mixin_ready()). From any
    /// thread.
    void wake_loop() const noexcept;
    /// @}

  protected:
    /// `transport` is not owned and outlives the server.
    ServerBase(const Address& server_address, const Transport& transport,
               const ServerOptions& options);
    /// Adopts a socket that is bound, and listens if the transport does. It becomes
    /// close-on-exec: a program that a handler executes does not get it.
    ServerBase(Socket&& bound, const Transport& transport, const ServerOptions& options);

    /// @name May be overridden
    /// @{

    /// Called by handle_request() when its time is over.
    virtual void handle_timeout() {}
    /// Called by serve_forever() after each turn of its loop, in its thread.
    virtual void service_actions() {}
    /// Called for an exception that belongs to no request, or that handle_error() threw. The
    /// default prints it to stderr. Serving goes on.
    virtual void handle_server_error(std::exception_ptr error);
    /// Called when a connection could not be accepted, or the loop could not wait for one. Serving
    /// goes on; after a lack of descriptors or memory it pauses, 1 to 100 ms. The default does
    /// nothing.
    virtual void handle_accept_error(const std::system_error& error);
    /// Called when a request was accepted and verified, in the serving thread.
    virtual void connection_opened(const Address& client_address);
    /// Called when it has ended, in the thread that served it; for a child in the serving thread.
    /// Not for a connection that a handler has moved away.
    virtual void connection_closed(const Address& client_address, CloseReason reason,
                                   std::chrono::nanoseconds duration);
    /// Binds the socket to the address that the server was given.
    ///
    /// @throws std::system_error naming the address.
    virtual void server_bind();
    /// Begins to listen.
    virtual void server_activate();
    /// @}

    /// @name For derived parts of the library
    /// @{

    /// Once, in the constructor of BaseServer, of which the policy is a part.
    void set_policy(Policy& policy) noexcept;
    /// Closes what must be closed before a derived class goes. Idempotent.
    void end_before_destruction() noexcept;
    /// The socket as datagrams share it; null when the server is closed.
    const std::shared_ptr<Socket>& shared_socket() const noexcept { return socket_; }
    /// @throws the error if no request can ever be accepted again.
    detail::Turn accept_failed(std::exception_ptr error);
    /// Before accepting. False: not now.
    bool take_place(detail::Place& place) noexcept;
    /// A request has been accepted. It owns `place` from then on, and `place.refused` says whether
    /// it is to be refused.
    ///
    /// @throws std::bad_alloc
    void open_connection(detail::ConnectionHandle& record, detail::Place& place,
                         const Address& client_address, int descriptor);
    /// Counts a request that is refused.
    void count_refused(const detail::ConnectionHandle& record, RefuseCause cause) noexcept;
    /// Calls connection_opened().
    void announce_opened(const detail::ConnectionHandle& record);
    /// The last word on a request: connection_closed().
    void announce_closed(detail::ConnectionHandle record) noexcept;
    /// Calls handle_server_error().
    void report_server_error(std::exception_ptr error) noexcept;
    /// @}

  private:
    friend class PolicyHost;
    friend class ShutdownOnSignal;
    friend class detail::DrainOnSignal;
    friend class detail::Upgrader;
    friend struct detail::HandlerAccess;
    friend struct detail::ServerState;
    friend class detail::Serving;

    // What BaseServer knows of its handler.
    virtual detail::Turn serve_one() = 0;

    bool take_turn(detail::Serving& serving, std::chrono::milliseconds poll_interval,
                   int& until_look);
    void call_service_actions() noexcept;
    detail::Turn pause_accepting() noexcept;
    void end_listening() noexcept;
    bool is_drained();
    void pass_on_drain();
    void serve_in_drain_thread() noexcept;
    void let_go() noexcept;
    void own_in_this_process();
    const detail::Waker& stop_waker() const noexcept;

    ServerOptions options_;
    const Transport& transport_;
    Address server_address_;
    Address numeric_address_;
    std::shared_ptr<Socket> socket_;
    std::unique_ptr<detail::ServerState> state_;
    Policy* policy_ = nullptr;
};

}  // namespace socketserver
