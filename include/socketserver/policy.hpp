// SPDX-License-Identifier: MIT
#pragma once

#include <functional>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/os/clock.hpp"
#include "socketserver/policy_host.hpp"

namespace socketserver {

struct Statistics;
template <class Handler, template <class> class MixIn>
class BaseServer;
class ShutdownOnSignal;

/// What a policy answers when it is asked whether it takes a request.
enum class Admission : unsigned char {
    take,   ///< dispatch() is called next
    close,  ///< it is refused: refuse_request() is called, and it is closed
    reset,  ///< the same, but its connection is reset, which the client sees as an error
};

/// The base class of a policy, with what a policy may do beside `dispatch()`.
///
/// A policy is a class template that the server derives from. It says where and when each request
/// is served:
///
///     template <class Server>
///     class InlineMixIn : public socketserver::Policy {
///       protected:
///         void dispatch(auto request, socketserver::Address client_address) {
///             static_cast<Server&>(*this).serve_request(request, client_address);
///         }
///     };
///
/// A policy must have `dispatch()`: the request is moved to it, and it calls serve_request() when
/// and where it likes (see BaseServer). The functions below are hooks. Each has a default and may
/// be overridden; write `override`, so that the compiler finds a misspelled name or a wrong
/// signature. The server calls the hooks through this class, so an override may be `private`,
/// unless PreforkOf runs the policy in its workers. A policy that overrides no hook need not derive
/// from this class.
///
/// Thread safety: unless its description says otherwise, a hook is called in the serving thread. If
/// several threads are in serve_forever(), it may be called in several of them at once.
///
/// Beyond Python, whose mixins override methods of the server.
class SOCKETSERVER_EXPORT Policy {
  public:
    Policy(const Policy&) = delete;
    Policy& operator=(const Policy&) = delete;

    /// @name What programs set for Python's mixins
    /// So that a program compiles under every policy. A policy for which one of them means
    /// something has a member of its own of that name, which hides this one. These here change
    /// nothing: SynchronousMixIn has nothing that could outlive the server, FiberMixIn ends the
    /// handlers of serve_forever() itself (and those of handle_request() as these two say), and a
    /// child process of ForkingMixIn is no thread.
    /// @{

    /// Mirrors `ThreadingMixIn.daemon_threads`.
    bool daemon_threads = false;
    /// Mirrors `ThreadingMixIn.block_on_close`.
    bool block_on_close = true;
    /// @}

  protected:
    Policy() = default;
    virtual ~Policy();

    /// What the policy may do with its server. Must not be called in constructors, because the
    /// server does not exist yet.
    PolicyHost& policy_host() noexcept { return policy_host_; }

    /// @name May be overridden
    /// @{

    /// Called to run the serve loop: it calls `loop`, and may do more before and after that.
    /// `is_forever` is true in serve_forever() and false in handle_request().
    virtual void mixin_serve(const std::function<void()>& loop, bool is_forever);
    /// Whether the policy takes a request now; called before accepting. If it returns false,
    /// clients stay in the kernel's queue until ServerBase::wake_loop() is called or
    /// `mixin_fileno()` is readable.
    virtual bool mixin_ready() { return true; }
    /// Whether the policy has room for the request that has just been accepted and verified.
    virtual Admission mixin_takes() { return Admission::take; }
    /// A descriptor that the loop watches as well, or -1. Called before each wait of the loop.
    virtual int mixin_fileno() { return -1; }
    /// The latest time at which the loop calls mixin_service(). Called before each wait of the
    /// loop.
    virtual std::chrono::steady_clock::time_point mixin_service_at() { return detail::never; }
    /// Called after each wait of the loop.
    virtual void mixin_service() {}
    /// Adds the threads, children, fibers and queued requests of the policy. Called from any
    /// thread.
    virtual void mixin_statistics(Statistics& /*statistics*/) const {}
    /// Called when a drain has begun, and again when it no longer waits for the first requests of
    /// clients. A policy whose requests are served in other processes tells them, because drain()
    /// cannot reach their connections.
    virtual void mixin_drain() {}
    /// Called when the time of a drain is over, to end the requests that drain() cannot end by
    /// shutting connections down. Called again with `kill` if that did not help. May be called from
    /// the thread that drains.
    virtual void mixin_cancel(bool /*kill*/) {}
    /// Whether a drain has to wait only for the requests that this process has accepted. False if,
    /// for example, other processes still serve.
    virtual bool mixin_ended() { return true; }
    /// Whether requests are served in the serving thread, which cannot leave its loop before a
    /// handler has ended: a handler that waits when a signal stops the server
    /// (ShutdownOnSignal) is broken off by another thread then. Called from any thread.
    virtual bool mixin_serves_in_loop() const { return true; }
    /// Whether mixin_close() waits for requests. Called when the server is being closed.
    virtual bool mixin_blocks_on_close() const { return true; }
    /// Called in a worker of PreforkOf, before it accepts for the first time.
    virtual void mixin_enter_worker() {}
    /// Called when the server is being closed: ends the threads or processes of the policy and, if
    /// `wait` is true, waits for them. May be called from any thread. After `mixin_close(true)` no
    /// request may use the server. server_close() passes false if it is called in a handler.
    virtual void mixin_close(bool /*wait*/) {}
    /// @}

  private:
    friend class ServerBase;
    friend class ShutdownOnSignal;
    template <class Handler, template <class> class MixIn>
    friend class BaseServer;

    PolicyHost policy_host_;
};

}  // namespace socketserver
