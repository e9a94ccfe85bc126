// SPDX-License-Identifier: MIT
#include "socketserver/shutdown_on_signal.hpp"

#include <atomic>
#include <exception>
#include <functional>
#include <new>
#include <thread>
#include <utility>

#include <poll.h>
#include <unistd.h>

#include "os/signal_table.hpp"
#include "server/server_state.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/os/waker.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/server_base.hpp"

namespace socketserver {

namespace detail {

/// A thread that waits for a signal, for what a signal handler must not do itself.
class SignalThread {
  public:
    /// `run` is called in the thread, and waits on waker() until ends().
    explicit SignalThread(std::function<void()> run) : thread_{std::move(run)} {}
    SignalThread(const SignalThread&) = delete;
    SignalThread& operator=(const SignalThread&) = delete;
    ~SignalThread() { end(); }

    /// Waits until the thread has ended. Idempotent.
    void end() noexcept {
        if (!thread_.joinable()) return;
        if (::getpid() != process_) {
            // A copy in a forked child: the thread is the parent's, and is not to be touched.
            ::new (&thread_) std::thread;
            return;
        }
        ending_ = true;
        waker_.wake();
        thread_.join();
    }

    const Waker& waker() const noexcept { return waker_; }
    const std::atomic<bool>& ends() const noexcept { return ending_; }
    /// In the thread. False: `until` came first.
    bool wait(TimePoint until) const {
        pollfd entry{waker_.fileno(), POLLIN, 0};
        return poll(&entry, 1, until) == 1;
    }

  private:
    const int process_ = ::getpid();
    Waker waker_;
    std::atomic<bool> ending_{false};
    std::thread thread_;  // last, because it uses the others
};

/// Waits for the first signal, and drains, in a thread of its own, because a drain takes its time.
/// There is no second thread to wait for the second signal, because none might be had by then: the
/// signal is redirected instead.
class DrainOnSignal {
  public:
    DrainOnSignal(ServerBase& server, DrainFor drain, const Waker& stop, const void* key)
        : server_{server}, drain_{drain}, stop_{stop}, key_{key} {}

    /// Waits for a drain that has begun. Idempotent.
    void end() noexcept { thread_.end(); }

    const Waker& waker() const noexcept { return thread_.waker(); }

  private:
    void watch() {
        thread_.wait(never);
        if (thread_.ends()) return;
        waker().reset();
        SignalTable::redirect(key_, stop_);
        // A second signal may have come already.
        if (thread_.wait(Clock::now())) stop_.wake();
        drain();
    }

    void drain() {
        try {
            server_.drain(drain_.within, drain_.queue);
        } catch (...) {
            server_.report_server_error(std::current_exception());
            stop_.wake();
        }
    }

    ServerBase& server_;
    const DrainFor drain_;
    const Waker& stop_;
    const void* const key_;
    SignalThread thread_{[this] { watch(); }};
};

/// Ends the handlers of a server that run in its loop, when a signal has stopped it: they keep the
/// loop, and whoever would call server_close() after it, from going on. Goes after the signals have
/// been taken away.
class EndOnSignal {
  public:
    explicit EndOnSignal(ServerBase& server) : state_{*server.state_} {}

    const Waker& waker() const noexcept { return thread_.waker(); }

  private:
    void watch() {
        while (!thread_.ends()) {
            thread_.wait(never);
            waker().reset();
            state_.end_loop_after_signal(waker(), thread_.ends());
        }
    }

    ServerState& state_;
    SignalThread thread_{[this] { watch(); }};
};

}  // namespace detail

ShutdownOnSignal::ShutdownOnSignal(ServerBase& server, std::initializer_list<int> signals)
    : ShutdownOnSignal{server, CloseWithin{}, signals} {}

ShutdownOnSignal::ShutdownOnSignal(ServerBase& server, CloseWithin close,
                                   std::initializer_list<int> signals) {
    server.own_in_this_process();
    server.state_->close_within = close.time;
    if (server.policy_->mixin_serves_in_loop())
        end_ = std::make_unique<detail::EndOnSignal>(server);
    add(signals, {server.stop_waker(), end_ ? &end_->waker() : nullptr, &server.state_->signalled},
        server.stop_waker());
}

ShutdownOnSignal::ShutdownOnSignal(ServerBase& server, DrainFor drain,
                                   std::initializer_list<int> signals) {
    server.own_in_this_process();
    drain_ = std::make_unique<detail::DrainOnSignal>(server, drain, server.stop_waker(), this);
    add(signals, {drain_->waker()}, server.stop_waker());
}

ShutdownOnSignal::~ShutdownOnSignal() {
    // First, so that a second signal still ends a drain for which this waits.
    if (drain_ != nullptr) drain_->end();
    remove();
}

void ShutdownOnSignal::add(std::initializer_list<int> signals, const detail::SignalEffect& effect,
                           const detail::Waker& stop) {
    signals_.reserve(signals.size());
    try {
        for (const int signal : signals) {
            if (detail::SignalTable::add(signal, effect, stop, this)) signals_.push_back(signal);
        }
    } catch (...) {
        remove();
        throw;
    }
}

void ShutdownOnSignal::remove() noexcept {
    for (const int signal : signals_) detail::SignalTable::remove(signal, this);
}

}  // namespace socketserver
