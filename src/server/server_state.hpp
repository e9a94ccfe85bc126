// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "io/reply_collector.hpp"
#include "request/request_table.hpp"
#include "server/datagram_queue.hpp"
#include "server/lifecycle.hpp"
#include "server/server_copies.hpp"
#include "server/unix_path.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/os/waker.hpp"

namespace socketserver {
class ServerBase;
}

namespace socketserver::detail {

/// The state of a server while it serves and stops. It is not in the public header.
///
/// The stop waker says whether a stop was requested: it is readable from shutdown() until the last
/// loop has seen it. So a stop works from a signal handler and from a forked child as well. `stop`
/// has the same meaning, and can be read without a system call.
struct ServerState {
    Waker stop_waker;
    Waker loop_waker;  ///< the serve loop looks again whether it may accept
    std::shared_ptr<RequestTable> table;
    std::shared_ptr<DatagramQueue> received;  ///< of a datagram server; otherwise null
    ServerCopies copies;
    std::atomic<bool> stop{false};

    std::mutex mutex;
    std::condition_variable ended;
    int serving = 0;           ///< threads in serve_forever() or handle_request()
    std::uint64_t serves = 0;  ///< how often the last of them has left
    std::atomic<pid_t> owner;  ///< the process that made the server, or serves its own copy

    std::atomic<std::chrono::milliseconds> pause{};  ///< after a lack of descriptors; 0: none
    std::atomic<TimePoint> accept_again{TimePoint{}};
    std::atomic<bool> paused{false};  ///< by pause()

    bool is_worker = false;  ///< a process that the parent forked to accept as well
    /// Readable if one of the sockets of a server with several has a datagram. -1: there is one.
    std::atomic<int> any_socket{-1};
    bool has_own_socket = false;       ///< a worker that serves a socket which no other process has
    bool drain_thread_serves = false;  ///< under the lock
    std::atomic<Lifecycle::View> life;  ///< of `lifecycle`, for a glance
    Lifecycle lifecycle;                ///< under the lock
    std::thread::id only_loop;  ///< under the lock; none if there are several loops, or were
    std::thread drain_thread;   ///< serves the queue if nobody else does

    std::atomic<bool> signalled{false};  ///< by ShutdownOnSignal, for a stop that no loop has seen
    bool ended_by_signal = false;        ///< the last serve; under the lock
    const Waker* at_end_of_serve = nullptr;  ///< wakes it; under the lock
    /// How long server_close() waits for requests if a signal has stopped the server.
    std::atomic<std::chrono::nanoseconds> close_within{std::chrono::nanoseconds::max()};

    UnixPath unix_path;

    ServerState(ServerBase& server, const ServerOptions& options, bool is_stream);
    ServerState(const ServerState&) = delete;
    ServerState& operator=(const ServerState&) = delete;
    ~ServerState();

    /// In a process that the program forked: the copy stops for itself from now on, and counts and
    /// limits its own requests. Nothing that other threads of the parent may hold is waited for.
    ///
    /// @param serving how often the calling thread serves it already.
    /// @throws std::system_error if no descriptor or no memory can be had.
    void part_from_parent(const ServerOptions& options, bool is_stream, int serving);

    /// When to try to accept: `TimePoint{}` is now, `never` when the loop is woken.
    TimePoint accept_at() const noexcept;
    /// Whether a datagram was received that no handler has yet.
    bool has_received() const noexcept { return received != nullptr && received->has_waiting(); }

    /// @name Under the lock
    /// @{
    /// Lets the lifecycle go on, and takes those of the actions that need neither the policy nor
    /// the listening socket. The caller takes the others, which are returned.
    Lifecycle::Actions step(const Lifecycle::Event& event) noexcept;
    /// Threads serve, or are about to.
    bool is_served() const noexcept { return serving > 0 || drain_thread_serves; }
    /// In drain(): waits until nobody serves, somebody else has stepped, or the deadline of the
    /// phase has come.
    void wait_for_event(std::unique_lock<std::mutex>& lock);
    /// What the wait has ended with.
    Lifecycle::Event event_in_drain() const noexcept;
    void ask_to_stop() noexcept;
    bool is_stopped_by_signal() const noexcept { return ended_by_signal || signalled; }
    /// Lets the next serve go on.
    void take_stop_back() noexcept;
    /// At the end of drain(): its thread, for the caller to join; none if that still serves.
    std::thread take_drain_thread() noexcept;
    /// @}

    /// A signal has stopped a loop in which handlers run, and which cannot end while one of them
    /// waits: ends them as a drain does. `waker` is woken by a second signal, by who sets
    /// `gives_up`, and by the end of the loop. Returns after one of the latter.
    void end_loop_after_signal(const Waker& waker, const std::atomic<bool>& gives_up) noexcept;
    /// In the serving thread, in each turn of a drain: the actions that are due for it.
    Lifecycle::Actions turn() noexcept;
    /// In the serving thread, which found nobody to accept.
    Lifecycle::Actions queue_is_empty() noexcept;
    /// While a drain must expect further connections, although the queue is empty.
    TimePoint handshakes_until() const noexcept { return table->counters->drain.handshakes_until; }

    /// @name In a worker
    /// @{
    void enter_worker(int control);
    /// Drains, because its parent has said so. Its stop is no end then: who waits is served.
    bool drains_as_worker() const noexcept { return is_worker && life.load().is_draining(); }
    /// Reads what the parent has to say; may end the loop.
    void obey_parent() noexcept;
    /// What turn() does of the worker's drain: for a thread that waits outside of the loop.
    void follow_parents_drain() noexcept;
    /// When to do so again. To be called only if it drains.
    TimePoint drain_deadline() noexcept;
    /// @}

    /// For PolicyHost::wait_unless_stopped().
    bool wait_unless_stopped(int descriptor);

  private:
    /// In a child: another thread of the parent may have held the lock at the fork, and have been
    /// in the middle of a step.
    void begin_anew(const Lifecycle& own) noexcept;
    void take(Lifecycle::Actions actions) noexcept;
};

/// One call of serve_forever() or handle_request() in a thread.
class Serving {
  public:
    /// @throws std::system_error if the server is closed.
    Serving(ServerBase& server, ServerState& state, bool is_forever);
    Serving(const Serving&) = delete;
    Serving& operator=(const Serving&) = delete;
    ~Serving();

    /// To be called if this thread serves the requests itself: replies may be held back then, if
    /// the options say so.
    void collect_replies();
    /// What collect_replies() has made, which looks after its replies before each request is taken;
    /// or null.
    ReplyCollector* replies() noexcept { return replies_ ? &*replies_ : nullptr; }
    bool stopped() const noexcept { return state_.stop.load(std::memory_order_relaxed); }
    /// Waits until a request may be there, somebody stops the server, or the time is over.
    /// @return false if the time is over.
    bool wait(int listener, int policy, TimePoint until);
    /// Whether the loop has waited, and so looked for a stop, since it began.
    bool has_waited() const noexcept { return looks_ != 0; }
    /// How many requests the loop may take, after it has waited, until it waits again, which is
    /// also when it looks for a stop from outside. `left` is how many of them it has not taken, and
    /// `found_none` whether it has looked for one in vain. If requests come one at a time, that
    /// look is left out, because poll(2) comes next anyway.
    int looks_after_wait(int left, bool found_none) noexcept;
    /// Checks for a stop that came from a signal handler or from a child, without waiting.
    void look_for_stop();
    /// To be called after a failure that belongs to no request and may be over soon. Reports it,
    /// and waits a moment, because otherwise the loop would spin.
    void pause_after(std::exception_ptr error);

  private:
    /// To be called when poll(2) has failed. Throws if it will always fail.
    void waiting_failed();
    static ServerBase& own(ServerBase& server);

    ServerBase& server_;
    ServerState& state_;
    ServerMark mark_;
    std::optional<ReplyCollector> replies_;
    ReplyCollector* outer_replies_;
    int looks_ = 0;
    int single_ = 0;       ///< how many times in sequence one request came
    int until_probe_ = 0;  ///< waits until the loop looks for a second one again
};

}  // namespace socketserver::detail
