// SPDX-License-Identifier: MIT
#include "request/drain_signal.hpp"

#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <csignal>

#include "os/child_process.hpp"
#include "request/connection.hpp"
#include "request/request_table.hpp"

namespace socketserver::detail {

namespace {

constinit thread_local std::atomic<Connection*> connection_of_this_thread{nullptr};

extern "C" void socketserver_on_drain(int) {
    const int saved = errno;
    Connection* connection = connection_of_this_thread.load(std::memory_order_relaxed);
    // A connection that has just finished a request needs no signal: it checks for the drain before
    // it waits.
    if (connection != nullptr && !connection->done_in_drain) {
        connection->table->end_input_if_over(*connection);
    }
    errno = saved;
}

void catch_it() noexcept {
    struct sigaction action {};
    action.sa_handler = socketserver_on_drain;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGURG, &action, nullptr);
}

}  // namespace

void DrainSignal::prepare_to_fork() noexcept {
    static const bool done = [] {
        struct sigaction before {};
        ::sigaction(SIGURG, nullptr, &before);
        if (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN) catch_it();
        return true;
    }();
    static_cast<void>(done);
}

void DrainSignal::listen() noexcept {
    catch_it();
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, SIGURG);
    ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
}

void DrainSignal::receiving(Connection* connection) noexcept {
    connection_of_this_thread.store(connection, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

void DrainSignal::send(int pid, int pidfd) noexcept { signal_child(pid, pidfd, SIGURG); }

}  // namespace socketserver::detail
