// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
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
class EndOnSignal;
class Upgrader;
struct HandlerAccess;
struct ServerState;
class Serving;
class Waker;
/// The result of trying to accept a request.
enum class Turn : unsigned char { took, nothing, later };
}  // namespace detail

/// The part of a server that depends neither on its handlers nor on its policy.
///
/// Lifecycle:
///
///     [bound] --serve_forever()--> [serving] --shutdown()--> [bound] --server_close()--> [closed]
///
/// Serving may begin again after shutdown(). A closed server cannot serve again.
///
/// Thread safety: shutdown(), server_close(), drain(), server_address() and the functions that say
/// so may be called from any thread and from handlers (drain() not from handlers). serve_forever()
/// may run in several threads at once; one shutdown() ends them all.
///
/// Processes: in a child that the program forks, a server belongs to the parent until the child
/// serves it, drains it or makes a ShutdownOnSignal for it. From then on the child has a server of
/// its own, on the same socket. See docs/guide/stopping.md.
///
/// Destruction: do not destroy a server while another thread is in serve_forever(); call shutdown()
/// first, and wait for that thread. A class that overrides hooks and is served by threads or fibers
/// must call server_close() in its own destructor, so that no request is still being served when
/// its members are destroyed.
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
    /// first call after server_close() does not throw but returns at once, because the thread that
    /// closes the server may be faster than the thread that begins to serve.
    void serve_forever(std::chrono::milliseconds poll_interval = std::chrono::milliseconds{500});
    /// The same, until shutdown() or until `stop` is requested.
    void serve_forever(std::stop_token stop,
                       std::chrono::milliseconds poll_interval = std::chrono::milliseconds{500});

    /// Waits for one request and serves it. It waits at most for the shorter of
    /// `ServerOptions::timeout` and the timeout of the listening socket, and calls handle_timeout()
    /// if no request came. shutdown() ends the wait.
    void handle_request();

    /// Makes serve_forever() return: at once, unless its thread is serving a request.
    ///
    /// Waits until serve_forever() has returned, except in a thread that runs the loop itself (a
    /// handler of a synchronous server) and in a forked child; there the call only requests the
    /// stop. If no thread is serving, the next call of serve_forever() or handle_request() returns
    /// at once, but not the calls after it. Connections that wait in the kernel stay there until
    /// the server serves again.
    ///
    /// May be overridden; a handler's `server().shutdown()` then calls the override. A signal
    /// (ShutdownOnSignal), a `std::stop_token` and a drain stop the server without calling this
    /// function.
    virtual void shutdown();

    /// Ends serving, closes the listening socket and waits for the requests that are being served,
    /// as far as the policy has it (`block_on_close`). Idempotent. In a handler it does not wait
    /// for other handlers; the server's destructor does.
    ///
    /// If a signal has stopped the server (ShutdownOnSignal) the wait is bounded: idle connections
    /// are closed, and requests that last longer than CloseWithin are broken off.
    ///
    /// May be overridden. The destructor of this class calls its own, because that of the derived
    /// class has run by then: a class that overrides it calls it in its destructor.
    virtual void server_close();

    /// Stops accepting: clients wait in the kernel's queue. Requests that were accepted are served
    /// to their end. May be called from any thread.
    void pause() noexcept;
    /// Accepts again after pause(). May be called from any thread.
    void resume() noexcept;

    /// Ends serving in order. New connections are turned away, and the connections that the kernel
    /// has queued are served. Connections that wait for the next request of their client are
    /// closed. The other requests may finish until the time is over; those that are left are then
    /// broken off, and their handlers get Cancelled. Returns when all have ended, at most two
    /// seconds later than `within`. The server is closed then.
    ///
    /// A client that has connected and sent nothing yet has one second to begin. A forked child
    /// whose time is over is sent SIGTERM, then SIGKILL. If no thread is in serve_forever(), this
    /// call makes a thread that serves the queue. Several drains may run at once; the one that ends
    /// first decides. If the server is closed, a drain does nothing.
    ///
    /// Turning clients away affects every process that has the socket. If a service manager or
    /// another process has it as well, pass AcceptQueue::leave. If the program has forked and
    /// another process serves a copy of the server, the queue is left to that process in any case.
    ///
    /// @throws std::logic_error in a handler of this server, because it would wait for that
    /// handler.
    /// @throws std::system_error if a thread is needed and cannot be created; nothing has changed
    /// then.
    DrainReport drain(std::chrono::nanoseconds within, AcceptQueue queue = AcceptQueue::serve);
    /// Whether drain() has begun. A handler of a protocol with persistent connections may then tell
    /// its client that the connection will end. May be called from any thread.
    bool is_draining() const noexcept;

    /// The counters of the server. May be called from any thread; takes no lock.
    Statistics statistics() const;
    /// The requests of this process that are being served or wait to be served. A request that a
    /// child of ForkingMixIn serves is listed with what the parent knows of it; requests of workers
    /// of PreforkMixIn are not listed in the parent. May be called from any thread. It takes the
    /// lock that each request takes when it is accepted and when it ends, so it should not be
    /// called often.
    ///
    /// @throws std::bad_alloc
    std::vector<ConnectionInfo> connections() const;

    /// The descriptor of the listening socket, to wait for in an event loop of the program; -1 if
    /// the server is closed. With ServerOptions::socket_per_worker, that of the first socket, or of
    /// the worker's own.
    int fileno() const noexcept;
    /// The address on which the server listens. Before the server is bound it is the address that
    /// the constructor was given.
    const Address& server_address() const noexcept { return server_address_; }
    /// The listening socket, to set options on.
    ///
    /// @throws std::system_error if the server is closed.
    Socket& socket() const;
    /// The options that the constructor was given.
    const ServerOptions& options() const noexcept { return options_; }

    /// The limits and timeouts that are in force. May be called from any thread.
    LiveOptions live_options() const noexcept;
    /// Changes limits and timeouts while the server serves. It sets all of them, so begin with the
    /// value of live_options(). May be called from any thread and in any process of the server;
    /// workers of PreforkMixIn and children of ForkingMixIn share the settings.
    ///
    /// A limit applies from the next client on. If there are more connections than a new limit
    /// allows, none of them is closed. If the server had no limit of that kind before,
    /// `max_connections_per_address`, and under PreforkMixIn `max_connections`, count only
    /// connections that are accepted from then on. A timeout applies from the next time at which it
    /// would begin.
    void set_live_options(const LiveOptions& options) noexcept;

    /// Makes the loop ask the policy again whether it takes requests (Policy::mixin_ready()). May
    /// be called from any thread.
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

    /// Called by handle_request() if no request came in time.
    virtual void handle_timeout() {}
    /// Called by serve_forever() after each turn of its loop, in its thread.
    virtual void service_actions();
    /// Called for an exception that belongs to no request, or that handle_error() threw. May be
    /// called from any thread. The default prints it to stderr. Serving goes on.
    virtual void handle_server_error(std::exception_ptr error);
    /// Called when a connection could not be accepted, or when the loop could not wait for one.
    /// Serving goes on. If descriptors or memory ran out, the loop first pauses for 1 to 100 ms.
    /// The default does nothing.
    virtual void handle_accept_error(const std::system_error& error);
    /// Called when a request was accepted and verified, in the serving thread.
    virtual void connection_opened(const Address& client_address);
    /// Called when a request has ended: in the thread that served it or, if a child process served
    /// it, in the serving thread. Not called for a connection that a handler has moved away.
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

    /// Called once, in the constructor of BaseServer, of which the policy is a part.
    void set_policy(Policy& policy) noexcept;
    /// Ends everything that may still use a derived class, before that class is destroyed.
    /// Idempotent.
    void end_before_destruction() noexcept;
    /// The server's socket, whose ownership datagrams share; null when the server is closed.
    const std::shared_ptr<Socket>& shared_socket() const noexcept { return socket_; }
    /// @throws the error if no request can ever be accepted again.
    detail::Turn accept_failed(std::exception_ptr error);
    /// Takes a place before accepting. Returns false if the server must not accept now.
    bool take_place(detail::Place& place) noexcept;
    /// Makes the record of a request that has been accepted. The record owns `place` from then on,
    /// and `place.refused` says whether the request is to be refused.
    ///
    /// @throws std::bad_alloc
    void open_connection(detail::ConnectionHandle& record, detail::Place& place,
                         const Address& client_address, int descriptor);
    /// Counts a request that is refused.
    void count_refused(const detail::ConnectionHandle& record, RefuseCause cause) noexcept;
    /// Calls connection_opened().
    void announce_opened(const detail::ConnectionHandle& record);
    /// Calls connection_closed(), which is the last hook of a request.
    void announce_closed(detail::ConnectionHandle record) noexcept;
    /// Calls handle_server_error().
    void report_server_error(std::exception_ptr error) noexcept;
    /// @}

  private:
    friend class PolicyHost;
    friend class ShutdownOnSignal;
    friend class detail::DrainOnSignal;
    friend class detail::EndOnSignal;
    friend class detail::Upgrader;
    friend struct detail::HandlerAccess;
    friend struct detail::ServerState;
    friend class detail::Serving;

    // What BaseServer knows of its handler.
    virtual detail::Turn serve_one() = 0;

    bool take_turn(detail::Serving& serving, std::chrono::milliseconds poll_interval,
                   int& until_look);
    detail::Turn pause_accepting() noexcept;
    void end_listening() noexcept;
    bool is_drained();
    void pass_on_drain();
    DrainReport drain(std::unique_lock<std::mutex>& lock, std::chrono::nanoseconds within,
                      AcceptQueue queue, bool closes);
    void drain_after_signal() noexcept;
    void serve_in_drain_thread() noexcept;
    void let_go() noexcept;
    // For ServerOptions::socket_per_worker:
    void open_worker_sockets(std::size_t count);
    void keep_worker_sockets(std::size_t number, std::size_t workers);
    void close_worker_sockets() noexcept;
    int request_fileno() const noexcept;
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
