// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/os/clock.hpp"

namespace socketserver::detail {

/// How a server is to be drained. It comes from the arguments of drain(); a parent passes it on to
/// its workers.
struct DrainOrder {
    TimePoint until = never;       ///< requests that have not ended by then are cancelled
    TimePoint handshakes_until{};  ///< handshakes that were under way may end until then
    bool leaves_queue = false;     ///< another process serves the clients in the queue

    friend bool operator==(const DrainOrder&, const DrainOrder&) = default;
};

/// The life of a server in one process: which phase it is in, what happens next, and what is to be
/// done then. docs/design.md has a picture of it.
///
/// It is a value without a clock, a lock or a system call. The caller of step() passes the event
/// and the time, keeps the result, and takes the actions. In the process that was asked to drain,
/// the caller of drain() calls step(). In a worker process the serving thread does, by the order of
/// its parent.
class SOCKETSERVER_EXPORT Lifecycle {
  public:
    /// The phases follow in this order and never come back. Each phase except the first and the
    /// last has a deadline.
    enum class Phase : unsigned char {
        open,        ///< may be served, stopped, and served again
        draining,    ///< serves the kernel's queue, and clients that may still send a request
        impatient,   ///< does not wait any more for clients that have sent nothing yet
        cancelling,  ///< the time is over: connections are shut down, children are told to end
        killing,     ///< that did not help: children are killed
        stopping,    ///< that did not help: the serve loop is stopped where it is
        closed,      ///< nobody begins to serve any more
    };

    /// How long a drain waits for clients that have connected and may be about to send their first
    /// request.
    static constexpr std::chrono::milliseconds patience{1000};
    /// How long requests may take to end in each of the phases cancelling, killing and stopping.
    static constexpr std::chrono::milliseconds grace{500};

    enum class Action : unsigned char {
        // For the thread that steps, under the lock:
        end_idle_input,   ///< of connections whose client owes the next request
        end_fresh_input,  ///< of connections whose client has sent nothing yet
        cancel_requests,  ///< shut all connections down
        stop_serving,     ///< as shutdown() does
        let_go,           ///< of the listening socket
        // For the serving thread:
        refuse_newcomers,  ///< the queue has been served: refuse new clients, which may try
                           ///< elsewhere
        policy_drain,      ///< call the hook mixin_drain()
        policy_cancel,     ///< call the hook mixin_cancel(false)
        policy_kill,       ///< call the hook mixin_cancel(true)
    };

    /// A set of actions. They are to be taken in the order in which Action declares them.
    class Actions {
      public:
        void add(Action action) noexcept { bits_ |= bit(action); }
        bool has(Action action) const noexcept { return (bits_ & bit(action)) != 0; }
        bool empty() const noexcept { return bits_ == 0; }
        Actions& operator|=(Actions other) noexcept {
            bits_ |= other.bits_;
            return *this;
        }

      private:
        static unsigned bit(Action action) noexcept { return 1U << static_cast<unsigned>(action); }
        unsigned bits_ = 0;
    };

    struct Event {
        enum class Kind : unsigned char {
            drain_asked,    ///< may come again with another order; the earliest deadline counts
            close_asked,    ///< by server_close()
            time_passed,    ///< a deadline may have come
            loop_turned,    ///< the serving thread is about to look for the next request
            queue_empty,    ///< the serving thread found no client to accept
            serving_ended,  ///< no thread serves any more
        };
        Kind kind = Kind::time_passed;
        DrainOrder order{};            ///< for drain_asked
        bool requests_remain = false;  ///< for serving_ended: some are still being served
    };

    /// The part of the state that threads read often, without the lock. It is aligned like an
    /// integer of its size, because otherwise clang would call functions of libatomic.
    struct alignas(std::uint32_t) View {
        Phase phase = Phase::open;
        bool queue_is_served = false;  ///< or it is left to another process
        bool has_cancelled = false;    ///< clients that are now found in the queue are refused
        bool is_closed = false;        ///< nobody may begin to serve

        bool is_draining() const noexcept { return phase != Phase::open && phase != Phase::closed; }
        friend bool operator==(const View&, const View&) = default;
    };

    struct Step;
    /// Returns the next state and the actions when `event` happens at the time `now`. After
    /// Phase::closed nothing changes.
    [[nodiscard]] Step step(const Event& event, TimePoint now) const noexcept;

    Phase phase() const noexcept { return view_.phase; }
    const View& view() const noexcept { return view_; }
    /// When to step with Kind::time_passed at the latest; `never` if there is no deadline.
    TimePoint deadline() const noexcept;
    /// The orders of all drains taken together.
    const DrainOrder& order() const noexcept { return order_; }
    friend bool operator==(const Lifecycle&, const Lifecycle&) = default;

  private:
    void drain(const DrainOrder& order, TimePoint now, Actions& actions) noexcept;
    void close() noexcept;
    void pass_time(TimePoint now, Actions& actions) noexcept;
    void enter(Phase phase, TimePoint now, Actions& actions) noexcept;
    void tell_policy(Actions& actions) noexcept;
    void end_queue(TimePoint now, Actions& actions) noexcept;
    void end_serving(bool requests_remain, Actions& actions) noexcept;

    View view_;
    Phase policy_knows_ = Phase::open;  ///< the phase of which the policy was told last
    DrainOrder order_;
    TimePoint patience_until_ = never;
    TimePoint grace_until_ = never;
};

/// The next state, and the actions on the way to it.
struct Lifecycle::Step {
    Lifecycle next;
    Actions actions;
};

}  // namespace socketserver::detail
