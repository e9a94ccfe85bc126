// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/detail/os/thread_group.hpp"
#include "socketserver/detail/server/request_job.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/statistics.hpp"

namespace socketserver {

/// Serves each request in a thread of its own, at once, however many there are.
///
/// A thread whose request has ended waits up to ten seconds for another one, because that is faster
/// than making a new thread. If a thread is needed and cannot be created, that request is closed,
/// handle_error() is called for it, and the server goes on serving. Each connection holds a thread
/// for as long as it lasts, so use ThreadPoolMixIn if there are many clients that you do not trust.
///
/// Thread safety: handlers run in several threads at once. Set the public members before the server
/// serves.
///
/// Mirrors `socketserver.ThreadingMixIn`.
template <class Server>
class ThreadingMixIn : public Policy {
  public:
    /// Whether a request may outlive the server: server_close() and the destructor do not wait for
    /// it. Read when a request begins.
    ///
    /// After the server is closed, such a thread may use only its request, its client's address and
    /// what its handler owns. server() then throws, no hook of the server is called any more, and
    /// the connection is closed when the handler returns. At the end of the program the thread ends
    /// wherever it is.
    bool daemon_threads = false;
    /// Whether server_close() and the destructor wait for the requests that are being served. False
    /// makes every thread a daemon's.
    bool block_on_close = true;

  protected:
    /// Serves a request in a thread; called by process_request().
    void dispatch(auto&& request, Address client_address) {
        const bool daemon = (daemon_threads || !block_on_close) &&
                            detail::let_outlive_server(detail::record_of(request));
        detail::hand_over<detail::Job>(static_cast<Server&>(*this), request, client_address, daemon,
                                       std::bind_front(&detail::ThreadGroup::run, &threads_));
    }

    void mixin_statistics(Statistics& statistics) const override {
        statistics.threads += threads_.threads();
    }

    bool mixin_serves_in_loop() const override { return false; }
    bool mixin_blocks_on_close() const override { return block_on_close && !daemon_threads; }
    void mixin_close(bool wait) override {
        threads_.close();
        if (!wait) return;
        threads_.join();
        if (threads_.has_daemons()) policy_host().link()->cut();
    }

  private:
    detail::ThreadGroup threads_;
};

}  // namespace socketserver
