// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/detail/os/forced_unwind.hpp"
#include "socketserver/detail/policy/fibers/fiber_engine.hpp"
#include "socketserver/detail/server/request_job.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/statistics.hpp"
#include "socketserver/tcp_server.hpp"
#include "socketserver/udp_server.hpp"
#include "socketserver/unix_server.hpp"

namespace socketserver {

/// Serves each request in a fiber of its own: a handler that waits for its client costs a page or
/// two of memory and no thread. The handler is the one that ThreadingMixIn runs.
///
/// A fiber stays on one thread, its worker. A handler that computes for a long time, or that blocks
/// without using this library, delays the other fibers of its worker: see run_blocking(). With one
/// worker all fibers run in the serving thread, one at a time.
///
/// shutdown() ends every handler that waits, and every wait that begins afterwards, with Cancelled.
/// serve_forever() returns when the handlers have ended.
///
/// handle_request() returns when a fiber has the request, as it does under ThreadingMixIn. All
/// workers then have threads of their own, in which requests go on between and after the calls. The
/// call that sees a shutdown() ends them with Cancelled. server_close() and the destructor wait for
/// those that are left; with `daemon_threads`, or without `block_on_close`, they end them first.
///
/// If there is no memory for a fiber, that request is closed, handle_error() is called for it, and
/// the server serves on. A handler that overflows its stack ends the program, with a message that
/// names the client. A handler that calls pthread_exit() ends only its fiber.
///
/// Thread safety: set the public members before the server serves.
///
/// A program with such a server links `socketserver::fiber`. Beyond Python.
template <class Server>
class FiberMixIn : public Policy {
  public:
    /// How many threads run fibers; the serving thread is one of them. Read when serving begins.
    unsigned workers = detail::default_workers();
    /// The size of the stack of each handler, in bytes. This is address space; the kernel provides
    /// memory as the stack grows.
    std::size_t stack_size = std::size_t{256} * 1024;
    /// How long a handler may block its worker before handle_blocking() is called; 0 means that it
    /// is never called.
    std::chrono::nanoseconds report_blocking{0};

  protected:
    /// May be overridden. Called while the request of `client_address` blocks its worker, once each
    /// time, in a thread of its own. It may call shutdown(), which does not wait there. An
    /// exception goes to handle_server_error(). The default prints a line to stderr.
    virtual void handle_blocking(const Address& client_address, std::chrono::nanoseconds time) {
        detail::print_blocking(client_address, time);
    }

    /// Serves a request in a fiber; called by process_request().
    void dispatch(auto&& request, Address client_address) {
        detail::hand_over<detail::RequestJob>(static_cast<Server&>(*this), request, client_address,
                                              false, detail::start_fiber);
    }

    void mixin_serve(const std::function<void()>& loop, bool is_forever) override {
        const detail::FiberSettings settings{
            workers, stack_size, report_blocking,
            [this](const Address& client_address, std::chrono::nanoseconds time) {
                try {
                    handle_blocking(client_address, time);
                } catch (...) {
                    detail::rethrow_forced_unwind();
                    policy_host().report_server_error(std::current_exception());
                }
            },
            fibers_};
        if (!is_forever) return background_.run(policy_host(), settings, loop);
        detail::serve_with_fibers(policy_host(), settings, loop);
        background_.cancel();
    }

    bool mixin_serves_in_loop() const override { return false; }
    bool mixin_blocks_on_close() const override {
        return this->block_on_close && !this->daemon_threads;
    }
    void mixin_close(bool wait) override { background_.close(!mixin_blocks_on_close(), wait); }

    void mixin_statistics(Statistics& statistics) const override { statistics.fibers += fibers_; }

  private:
    std::atomic<std::size_t> fibers_{0};
    detail::BackgroundFibers background_;
};

template <detail::stream_handler Handler>
using FiberTCPServer = TCPServer<Handler, FiberMixIn>;
template <detail::datagram_handler Handler>
using FiberUDPServer = UDPServer<Handler, FiberMixIn>;
template <detail::stream_handler Handler>
using FiberUnixStreamServer = UnixStreamServer<Handler, FiberMixIn>;
template <detail::datagram_handler Handler>
using FiberUnixDatagramServer = UnixDatagramServer<Handler, FiberMixIn>;

}  // namespace socketserver
