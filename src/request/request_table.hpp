// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "io/reply_guard.hpp"
#include "os/shared_memory.hpp"
#include "request/child_outcomes.hpp"
#include "request/connection.hpp"
#include "request/limits.hpp"
#include "request/lingering.hpp"
#include "request/proxy_peers.hpp"
#include "request/record_memory.hpp"
#include "request/shared_counters.hpp"
#include "socketserver/connection_info.hpp"
#include "socketserver/detail/io/watch.hpp"
#include "socketserver/detail/os/waker.hpp"
#include "socketserver/detail/request/place.hpp"
#include "socketserver/detail/request/server_link.hpp"
#include "socketserver/server_options.hpp"

namespace socketserver::detail {

/// The requests of a server that have been accepted and have not ended, and the counters.
///
/// The server and its requests, which may outlive the server, share the table. The wakers belong to
/// the server and are destroyed with it. A forked child has a copy of the table. In it the list and
/// the limits describe the parent, only the counters are shared, and no lock is taken.
///
/// Thread safety: all members may be called from any thread.
class RequestTable : public std::enable_shared_from_this<RequestTable> {
  public:
    /// @throws std::system_error if there is no memory.
    RequestTable(const ServerOptions& options, bool is_stream, std::shared_ptr<ServerLink> link,
                 const Waker& loop_waker, const Waker& stop_waker);
    /// Called when the server is being destroyed, and its wakers with it.
    void leave_server() noexcept;

    const SharedMemory<SharedCounters> counters{"map the counters of a server"};
    Limits limits;
    const std::unique_ptr<ReplyGuard> reply_guard;  ///< null: no reply is withheld
    RecordMemory record_memory;
    Lingering lingering;
    const std::shared_ptr<ServerLink> server;
    const ProxyPeers proxies;

    /// Makes the record of a request that was accepted.
    ///
    /// @throws std::bad_alloc, with `place` untouched.
    ConnectionHandle open(const Address& client_address, int fd, Place& place);
    /// Decides by the address of the peer: either a header of the PROXY protocol has to come, or
    /// the client takes its share of the limit of each address. If the request is to be refused,
    /// its place says why.
    ///
    /// @throws std::bad_alloc
    void settle(Connection& connection);
    /// Called when the header has named the client. Returns false if this client has too many
    /// connections.
    ///
    /// @throws std::bad_alloc
    bool introduce(Connection& connection, const Address& client_address);
    void refuse(Connection& connection, RefuseCause cause) noexcept;
    /// The reason of the end, as far as it is known.
    CloseReason reason_of(const Connection& connection) noexcept;
    /// Takes the descriptor of a connection that has ended and whose client is still sending.
    void linger(int descriptor) noexcept;
    /// Makes the loop check again whether it may accept.
    void wake_loop() noexcept;
    /// Called when the request has ended in this process: counts it out.
    void end(Connection& connection) noexcept;

    /// @name Children
    /// @{
    /// Called in a child that serves one request.
    void enter_child() noexcept {
        in_child_ = is_signalled_ = true;
        lingering.disown();
    }
    bool in_child() const noexcept { return in_child_; }
    void share_outcome(Connection& connection) noexcept;
    /// Called in the parent when a child has ended: reads what the child has reported about the
    /// client. Only for a request whose outcome is shared.
    void learn_from_child(Connection& connection) noexcept;
    /// Called in a worker, which counts the requests that it accepts itself.
    void enter_worker() noexcept;
    /// Called in the parent when a worker has ended: counts the requests that the worker did not
    /// end.
    void count_out_worker(int pid, CloseReason reason) noexcept;
    /// Whether a DrainSignal may come in this process.
    bool is_signalled() const noexcept { return is_signalled_; }
    /// @}

    /// @name Draining
    /// @{

    /// Ends the input of the connections that wait for the next request of their client, and of
    /// those that begin to wait for one later. Their handlers see the end of the stream. From now
    /// on the end of the last request wakes the loop.
    void end_idle_input() noexcept;
    /// Ends also the input of the connections whose client has sent nothing yet.
    void end_fresh_input() noexcept;
    /// Whether a connection in this phase is to see the end of the stream.
    bool is_input_over(Connection::Phase phase) const noexcept {
        return phase == Connection::Phase::idle
                   ? drain_.ends_idle.load()
                   : phase == Connection::Phase::fresh && drain_.ends_fresh.load();
    }
    /// Ends the input of the connection if is_input_over() is true for it. Takes no lock, so that a
    /// signal handler may call it.
    void end_input_if_over(Connection& connection) const noexcept;
    /// Whether the server is being drained, by any of its processes.
    bool is_draining() const noexcept { return drain_.ends_idle.load(); }
    /// Breaks all connections off: the operations of their handlers throw Cancelled.
    void cancel_all() noexcept;
    /// Between the calls of these two, cancel_all() wakes the watch as well.
    void add_watch(Watch& watch) noexcept;
    void remove_watch(Watch& watch) noexcept;
    /// Whether no request is being served or waits to be served in this process or its children.
    bool is_empty() const noexcept { return count_.load() == 0; }
    std::size_t size() const noexcept { return count_.load(); }
    /// Whether a stop was requested that no loop has seen yet, or the server is gone.
    bool is_stopping() const noexcept;
    /// @}

    void read(Statistics& statistics) const noexcept;
    /// The connections of this process.
    std::vector<ConnectionInfo> connections() const;
    /// Moves the address of the client out of its record. A numeric address stays in the record as
    /// well.
    Address take_address(Connection& connection) noexcept;

  private:
    friend void disown_descriptor(Connection* connection) noexcept;

    /// The outcome of the request, or null if it has none.
    ChildOutcome* outcome_of(const Connection& connection) noexcept;

    void end_input(Connection::Phase phase) noexcept;

    const SharedCounters::Drain& drain_ = counters->drain;
    bool in_child_ = false;
    bool is_signalled_ = false;
    SharedCounters::Worker* worker_ = nullptr;
    std::atomic<bool> last_wakes_loop_{false};
    std::atomic<std::size_t> count_{0};

    mutable std::mutex mutex_;
    const Waker* loop_waker_;  // null after leave_server()
    const Waker* stop_waker_;  // the same
    Connection* first_ = nullptr;
    std::optional<ChildOutcomes> outcomes_;  // for the children that this process forks
    WatchList watches_;
    std::vector<int> free_outcomes_;
    int used_outcomes_ = 0;
};

}  // namespace socketserver::detail
