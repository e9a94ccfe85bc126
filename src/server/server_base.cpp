// SPDX-License-Identifier: MIT
#include "socketserver/server_base.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "io/close_on_fork.hpp"
#include "io/sockaddr.hpp"
#include "io/socket_error.hpp"
#include "os/signal_table.hpp"
#include "os/sys.hpp"
#include "server/error_report.hpp"
#include "server/server_socket.hpp"
#include "server/server_state.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/transport.hpp"

namespace socketserver {

namespace {

using detail::Current;
using detail::ServerMark;
using detail::ServerState;

std::string adopting(int descriptor) { return "adopt descriptor " + std::to_string(descriptor); }

int get_option(const Socket& socket, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    if (::getsockopt(socket.fileno(), SOL_SOCKET, name, &value, &size) == -1) {
        const int error = errno;
        throw std::system_error(error, std::system_category(), adopting(socket.fileno()));
    }
    return value;
}

/// After poll(2) has reported a client, that client may have gone. Accepting must not block the
/// loop then.
void set_nonblocking(const Socket& socket, const Address& address) {
    const int flags = ::fcntl(socket.fileno(), F_GETFL);
    if (flags == -1 || ::fcntl(socket.fileno(), F_SETFL, flags | O_NONBLOCK) == -1) {
        detail::throw_system_error("make the listening socket non-blocking for", address);
    }
}

/// All sockets that the library makes are close-on-exec. A service manager cannot set this on a
/// socket that it passes, because the program inherits it by execve(2).
void set_close_on_exec(const Socket& socket, const Address& address) {
    if (detail::sys::set_close_on_exec(socket.fileno()) == -1) {
        detail::throw_system_error("make the listening socket close-on-exec for", address);
    }
}

/// Streams have one socket for all workers: connections last, and those in the queue of a worker
/// that is busy would wait while others idle.
void check_socket_per_worker(const ServerOptions& options, const Transport& transport,
                             const Address& address) {
    if (!options.socket_per_worker || (!transport.listens() && address.is_inet())) return;
    throw std::system_error(
        EOPNOTSUPP, std::system_category(),
        "a server on " + address.to_string() + ": socket_per_worker is an option of UDP servers");
}

/// What a server has besides its socket. It needs descriptors and memory.
///
/// @param purpose said first in an error: what the server is made for.
std::unique_ptr<ServerState> make_state(ServerBase& server, const ServerOptions& options,
                                        const Transport& transport, const std::string& purpose) {
    try {
        return std::make_unique<ServerState>(server, options, transport.listens());
    } catch (const std::system_error& error) {
        // what() is the operation, a colon, and the message of the code, which is added again.
        std::string operation{error.what()};
        const std::string message = ": " + error.code().message();
        if (operation.ends_with(message)) operation.resize(operation.size() - message.size());
        throw std::system_error(error.code(), purpose + ": " + operation);
    }
}

}  // namespace

ServerBase::ServerBase(const Address& server_address, const Transport& transport,
                       const ServerOptions& options)
    : options_{options},
      transport_{transport},
      server_address_{server_address},
      state_{make_state(*this, options, transport, "serve on " + server_address.to_string())} {
    transport.check_address(server_address);
    check_socket_per_worker(options, transport, server_address);
    numeric_address_ = server_address.resolve().front();
    auto socket = std::make_shared<detail::ServerSocket>(transport.open(numeric_address_));
    if (!transport.listens()) {
        socket->count_in(state_->table, state_->received, state_->table->counters->datagrams);
    }
    socket_ = std::move(socket);
    detail::CloseOnFork::add_server(fileno());
}

ServerBase::ServerBase(Socket&& bound, const Transport& transport, const ServerOptions& options)
    : options_{options},
      transport_{transport},
      socket_{std::make_shared<detail::ServerSocket>(std::move(bound))},
      state_{make_state(*this, options, transport, adopting(socket_->fileno()))} {
    if (options.socket_per_worker) {
        throw std::system_error(EOPNOTSUPP, std::system_category(),
                                adopting(socket_->fileno()) +
                                    ": with socket_per_worker a server binds its sockets itself");
    }
    const int type = get_option(*socket_, SO_TYPE);
    if (type != transport.socket_type()) {
        throw std::system_error(EPROTOTYPE, std::system_category(), adopting(socket_->fileno()));
    }
    server_address_ = numeric_address_ = socket_->getsockname();
    transport.check_address(server_address_);
    transport.prepare_receive(*socket_, server_address_);
    set_close_on_exec(*socket_, server_address_);
    detail::CloseOnFork::add_server(fileno());
    if (!transport.listens()) {
        static_cast<detail::ServerSocket&>(*socket_).count_in(state_->table, state_->received,
                                                              state_->table->counters->datagrams);
        return;
    }
    // A service manager may hand over a socket that is bound and does not listen yet.
    if (get_option(*socket_, SO_ACCEPTCONN) == 0) socket_->listen(options_.request_queue_size);
    set_nonblocking(*socket_, server_address_);
}

ServerBase::~ServerBase() {
    // The file still exists only if the constructor of a concrete server failed between bind and
    // listen.
    if (::getpid() == state_->owner) state_->unix_path.remove();
}

void ServerBase::server_bind() {
    // This does nothing unless the address has a path.
    state_->unix_path.claim(numeric_address_, transport_.socket_type());
    transport_.prepare_bind(*socket_, numeric_address_, options_);
    transport_.prepare_receive(*socket_, numeric_address_);
    socket_->bind(numeric_address_);
    state_->unix_path.own(numeric_address_, transport_.socket_type());
    if (!transport_.listens()) state_->unix_path.settle();
    server_address_ = socket_->getsockname();
}

void ServerBase::server_activate() {
    if (!transport_.listens()) return;
    socket_->listen(options_.request_queue_size);
    state_->unix_path.settle();
    set_nonblocking(*socket_, server_address_);
}

int ServerBase::fileno() const noexcept { return socket_ ? socket_->fileno() : -1; }

Socket& ServerBase::socket() const {
    return socket_ ? *socket_
                   : throw std::system_error(EBADF, std::system_category(), "the server is closed");
}

void ServerBase::let_go() noexcept {
    close_worker_sockets();
    // The socket is not closed here, because a datagram request may still answer through it.
    socket_.reset();
    state_->table->lingering.end();
    state_->copies.leave();
    // If this process has never served the server, a child may be meant to serve it that has not
    // begun yet. Programs become daemons in this way.
    const bool may_be_a_childs =
        state_->serves == 0 && state_->serving == 0 && detail::CloseOnFork::may_be_inherited();
    if (state_->copies.has_others() || (may_be_a_childs && state_->unix_path.is_open_elsewhere())) {
        state_->unix_path.disown();
    } else {
        state_->unix_path.remove();
    }
}

void ServerBase::own_in_this_process() {
    const pid_t self = ::getpid();
    pid_t before = state_->owner;
    // Children and workers of the library do not own the server; they ask their parent to stop.
    if (before == self || state_->is_worker || state_->table->in_child()) return;
    while (before != self) {
        if (before == 0 || !state_->owner.compare_exchange_strong(before, 0)) {
            ::sched_yield();  // another thread is doing it
            before = state_->owner;
            continue;
        }
        try {
            const bool serves_here = ServerMark::stands(this, &Current::serving);
            state_->part_from_parent(options_, transport_.listens(), serves_here ? 1 : 0);
            if (socket_ && !transport_.listens()) {
                close_worker_sockets();  // the further ones are the parent's
                static_cast<detail::ServerSocket&>(*socket_).count_in(
                    state_->table, state_->received, state_->table->counters->datagrams);
            }
        } catch (...) {
            state_->owner = before;
            throw;
        }
        state_->table->server->forget_other_threads();
        detail::SignalTable::adopt(state_->stop_waker);
        state_->owner = before = self;
    }
}

void ServerBase::set_policy(Policy& policy) noexcept {
    policy_ = &policy;
    policy.policy_host_.server_ = this;
}

void ServerBase::end_before_destruction() noexcept {
    if (::getpid() != state_->owner) return;  // a copy in a child that ends by exit()
    ServerBase::server_close();
    if (state_->drain_thread.joinable()) state_->drain_thread.join();
    state_->table->server->cut();
}

void ServerBase::wake_loop() const noexcept { state_->loop_waker.wake(); }

const detail::Waker& ServerBase::stop_waker() const noexcept { return state_->stop_waker; }

void ServerBase::handle_accept_error(const std::system_error&) {}

void ServerBase::handle_server_error(std::exception_ptr error) {
    detail::print_error("Exception occurred in the server on ", server_address_, error);
}

void ServerBase::report_server_error(std::exception_ptr error) noexcept {
    try {
        handle_server_error(error);
    } catch (...) {
        // handle_server_error() has failed as well, so both exceptions are printed.
        detail::print_error("Exception occurred in the server on ", server_address_, error);
        detail::print_error("Exception occurred in handle_server_error() of the server on ",
                            server_address_, std::current_exception());
    }
}

}  // namespace socketserver
