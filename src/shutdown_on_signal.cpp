// SPDX-License-Identifier: MIT
#include "socketserver/shutdown_on_signal.hpp"

#include "signal_table.hpp"
#include "socketserver/server_base.hpp"

namespace socketserver {

ShutdownOnSignal::ShutdownOnSignal(ServerBase& server, std::initializer_list<int> signals)
    : server_{server} {
    signals_.reserve(signals.size());
    try {
        for (const int signal : signals) {
            detail::SignalTable::add(signal, server_.stop_waker());
            signals_.push_back(signal);
        }
    } catch (...) {
        remove();
        throw;
    }
}

ShutdownOnSignal::~ShutdownOnSignal() { remove(); }

void ShutdownOnSignal::remove() noexcept {
    for (const int signal : signals_) {
        detail::SignalTable::remove(signal, server_.stop_waker());
    }
}

}  // namespace socketserver
