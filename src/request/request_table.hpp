// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

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
/// Shared by the server and its requests, which may outlive it; the wakers are the server's and
/// go with it. In a forked child it is a copy: the list and the limits are the parent's, only
/// the counters are shared, and no lock is taken.
///
/// Thread safety: all members may be called from any thread.
class RequestTable : public std::enable_shared_from_this<RequestTable> {
  public:
    /// @throws std::system_error if there is no memory.
    RequestTable(const ServerOptions& options, bool is_stream, std::shared_ptr<ServerLink> link,
                 const Waker& loop_waker, const Waker& stop_waker);
    /// The server goes, and its wakers with it.
    void leave_server() noexcept;

    const SharedMemory<SharedCounters> counters{"map the counters of a server"};
    Limits limits;
    RecordMemory record_memory;
    Lingering lingering;
    const std::shared_ptr<ServerLink> server;
    const ProxyPeers proxies;

    /// A request was accepted.
    ///
    /// @throws std::bad_alloc, with `place` untouched.
    ConnectionHandle open(const Address& client_address, int fd, Place& place);
    /// What the address of the peer says: whether a header of the PROXY protocol has to come, or
    /// else whether this client has too many connections. A refusal stands in its place.
    ///
    /// @throws std::bad_alloc
    void settle(Connection& connection);
    /// The client is known by its header. False: it has too many connections.
    ///
    /// @throws std::bad_alloc
    bool introduce(Connection& connection, const Address& client_address);
    void refuse(Connection& connection, RefuseCause cause) noexcept;
    /// Nobody breaks the connection off from now on: its descriptor is about to be closed.
    void disown_descriptor(Connection& connection) noexcept;
    /// As it is known so far.
    CloseReason reason_of(const Connection& connection) noexcept;
    /// The descriptor of a connection that has ended, whose client is still sending.
    void linger(int descriptor) noexcept;
    /// The loop looks again whether it may accept.
    void wake_loop() noexcept;
    /// The request has ended, in this process: counts it out.
    void end(Connection& connection) noexcept;

    /// @name Children
    /// @{
    /// In a child that serves one request.
    void enter_child() noexcept {
        in_child_ = is_signalled_ = true;
        lingering.disown();
    }
    bool in_child() const noexcept { return in_child_; }
    void share_outcome(Connection& connection) noexcept;
    /// In the parent, when a child has ended: takes what it has told of the client.
    void learn_from_child(Connection& connection) noexcept;
    /// In a worker, which counts what it accepts for itself.
    void enter_worker() noexcept;
    /// In the parent, when a worker has gone: counts what it has not brought to an end.
    void count_out_worker(int pid, CloseReason reason) noexcept;
    /// Whether a DrainSignal may come.
    bool is_signalled() const noexcept { return is_signalled_; }
    /// @}

    /// @name Draining
    /// @{

    /// Ends the input of the connections whose client owes the next request, and of every one that
    /// begins to wait for one: their handlers see the end of the stream. From now on the end of the
    /// last request wakes the loop.
    void end_idle_input() noexcept;
    /// Ends the input of the connections whose client has sent nothing yet as well.
    void end_fresh_input() noexcept;
    /// Whether a connection in this phase is to see the end of the stream.
    bool is_input_over(Connection::Phase phase) const noexcept;
    /// Ends the input of one that is. Takes no lock, for a signal handler.
    void end_input_if_over(Connection& connection) const noexcept;
    /// The server is being drained, by whichever of its processes.
    bool is_draining() const noexcept { return counters->drain.ends_idle.load(); }
    /// Breaks all connections off: the operations of their handlers throw Cancelled.
    void cancel_all() noexcept;
    /// From the one to the other, cancel_all() wakes the watch as well.
    void add_watch(Watch& watch) noexcept;
    void remove_watch(Watch& watch) noexcept;
    /// Nothing is being served or waits to be served in this process or its children.
    bool is_empty() const noexcept { return count_.load() == 0; }
    std::size_t size() const noexcept { return count_.load(); }
    /// A stop was asked for that no loop has seen yet, or the server is gone.
    bool is_stopping() const noexcept;
    /// @}

    void read(Statistics& statistics) const noexcept;
    /// Those of this process.
    std::vector<ConnectionInfo> connections() const;
    /// Moves the address of the client out of its record, which keeps the numbers of it.
    Address take_address(Connection& connection) noexcept;

  private:
    /// Null: there is none.
    ChildOutcome* outcome_of(const Connection& connection) noexcept;

    void end_input(Connection::Phase phase) noexcept;

    bool in_child_ = false;
    bool is_signalled_ = false;
    SharedCounters::Worker* worker_ = nullptr;
    std::atomic<bool> last_wakes_loop_{false};
    std::atomic<std::size_t> count_{0};

    mutable std::mutex mutex_;
    const Waker* loop_waker_;  // null when the server is gone
    const Waker* stop_waker_;  // the same
    Connection* first_ = nullptr;
    std::optional<ChildOutcomes> outcomes_;  // of the children that this process forks
    WatchList watches_;
    std::vector<int> free_outcomes_;
    int used_outcomes_ = 0;
};

}  // namespace socketserver::detail
