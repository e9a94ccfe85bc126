// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <cstddef>
#include <exception>
#include <utility>
#include <vector>

#include "socketserver/address.hpp"
#include "socketserver/detail/policy/processes/child_reaper.hpp"
#include "socketserver/detail/request/connection.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/statistics.hpp"

namespace socketserver {

/// Serves each request in a child process of its own.
///
/// The child has a copy of the parent's memory and shares none of it: what a handler changes is
/// lost when the child ends, and a crash harms no other request. The child ends with status 0, or
/// with 1 after an exception. It flushes the standard streams, and does not run the destructors of
/// the program's static objects. The policy waits for each child by its process id, so it never
/// takes the status of a child that the program itself forked.
///
/// The child keeps none of the listening sockets of the program's other servers. It has copies of
/// those server objects, but they cannot serve there.
///
/// If the program does not catch SIGURG, which is ignored by default, the library uses it: drain()
/// sends it to the children.
///
/// A child ignores the signals of ShutdownOnSignal, which are meant for the parent, as workers of
/// PreforkMixIn do; but it ends if its parent sends it such a signal.
///
/// In a program that has threads, only the serving thread exists in the child. A lock that another
/// thread held at the fork stays locked there for ever. The library takes no lock in the child, and
/// the C library keeps malloc and stdio usable; a handler must not take locks that it shares with
/// threads.
///
/// Thread safety: only one thread may serve at a time. Set the public members before the server
/// serves. What ServerBase says of its members holds here as well.
///
/// Mirrors `socketserver.ForkingMixIn`.
template <class Server>
class ForkingMixIn : public Policy {
  public:
    /// How many children there may be at a time. Further clients wait in the kernel's queue.
    std::size_t max_children = 40;
    /// Whether server_close() and the destructor wait for the children.
    bool block_on_close = true;

    /// The process ids of the children that have not been waited for. Call it in the serving
    /// thread, or when nothing is being served.
    std::vector<int> active_children() const { return children_.pids(); }

  protected:
    /// Takes the status of the children that have ended. With `blocking` it waits for all children.
    void collect_children(bool blocking = false) {
        children_.collect(blocking);
        while (auto request = children_.take_ended()) {
            policy_host().announce_closed(std::move(*request));
        }
    }

    /// Serves a request in a child process; called by process_request().
    void dispatch(auto&& request, Address client_address) {
        auto& server = static_cast<Server&>(*this);
        bool is_child = false;
        detail::ConnectionHandle& record = detail::record_of(request);
        detail::share_outcome(record.get());
        try {
            is_child = children_.fork();
        } catch (...) {
            server.fail_request(request, client_address, std::current_exception());
            return;
        }
        if (is_child) {
            policy_host().enter_child();
            const detail::ConnectionHandle shared = detail::share(record);
            const bool served = server.serve_request(request, client_address);
            detail::leave_outcome(shared.get());
            detail::exit_child(served ? 0 : 1);
        }
        detail::disown_descriptor(record.get());
        children_.keep(std::move(record));
        server.release_request(request, client_address);
    }

    void mixin_service() override { collect_children(); }
    bool mixin_ready() override { return children_.count() < max_children; }
    int mixin_fileno() override { return children_.fileno(); }
    std::chrono::steady_clock::time_point mixin_service_at() override {
        return children_.check_at();
    }
    void mixin_drain() override { children_.announce_drain(); }
    void mixin_cancel(bool kill) override { children_.kill(kill ? SIGKILL : SIGTERM); }
    void mixin_statistics(Statistics& statistics) const override {
        statistics.children += children_.count();
    }
    bool mixin_serves_in_loop() const override { return false; }
    bool mixin_blocks_on_close() const override { return block_on_close; }
    void mixin_close(bool wait) override { collect_children(wait && block_on_close); }

  private:
    detail::ChildReaper children_;
};

}  // namespace socketserver
