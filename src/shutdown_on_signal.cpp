// SPDX-License-Identifier: MIT
#include "socketserver/shutdown_on_signal.hpp"

#include <atomic>
#include <exception>
#include <thread>

#include <poll.h>

#include "signal_table.hpp"
#include "socketserver/detail/blocking_io.hpp"
#include "socketserver/detail/waker.hpp"
#include "socketserver/server_base.hpp"

namespace socketserver {

namespace detail {

/// Waits for the first signal in a thread of its own, because a drain takes its time and a signal
/// handler must not; and for the second one meanwhile.
class DrainOnSignal {
  public:
    DrainOnSignal(ServerBase& server, DrainFor drain, const Waker& stop)
        : server_{server}, drain_{drain}, stop_{stop}, thread_{[this] { watch(); }} {}
    DrainOnSignal(const DrainOnSignal&) = delete;
    DrainOnSignal& operator=(const DrainOnSignal&) = delete;
    ~DrainOnSignal() {
        ending_ = true;
        signalled_.wake();
        thread_.join();
    }

    const Waker& waker() const noexcept { return signalled_; }

  private:
    void watch() {
        if (!wait()) return;
        const std::jthread draining{[this] { drain(); }};
        if (wait()) stop_.wake();
    }

    /// @return whether it was a signal.
    bool wait() {
        pollfd entry{signalled_.fileno(), POLLIN, 0};
        poll(&entry, 1, never);
        signalled_.reset();
        return !ending_;
    }

    void drain() {
        try {
            server_.drain(drain_.within);
        } catch (...) {
            server_.report_server_error(std::current_exception());
            stop_.wake();
        }
    }

    ServerBase& server_;
    const DrainFor drain_;
    const Waker& stop_;
    Waker signalled_;
    std::atomic<bool> ending_{false};
    std::thread thread_;
};

}  // namespace detail

ShutdownOnSignal::ShutdownOnSignal(ServerBase& server, std::initializer_list<int> signals)
    : waker_{server.stop_waker()} {
    add(signals);
}

ShutdownOnSignal::ShutdownOnSignal(ServerBase& server, DrainFor drain,
                                   std::initializer_list<int> signals)
    : drain_{std::make_unique<detail::DrainOnSignal>(server, drain, server.stop_waker())},
      waker_{drain_->waker()} {
    add(signals);
}

ShutdownOnSignal::~ShutdownOnSignal() { remove(); }

void ShutdownOnSignal::add(std::initializer_list<int> signals) {
    signals_.reserve(signals.size());
    try {
        for (const int signal : signals) {
            detail::SignalTable::add(signal, waker_);
            signals_.push_back(signal);
        }
    } catch (...) {
        remove();
        throw;
    }
}

void ShutdownOnSignal::remove() noexcept {
    for (const int signal : signals_) detail::SignalTable::remove(signal, waker_);
}

}  // namespace socketserver
