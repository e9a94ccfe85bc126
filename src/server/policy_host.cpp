// SPDX-License-Identifier: MIT
#include "socketserver/policy_host.hpp"

#include <utility>

#include "io/close_on_fork.hpp"
#include "server/server_state.hpp"
#include "socketserver/server_base.hpp"

namespace socketserver {

const std::shared_ptr<detail::ServerLink>& PolicyHost::link() const noexcept {
    return server_->state_->table->server;
}

void PolicyHost::report_server_error(std::exception_ptr error) noexcept {
    server_->report_server_error(error);
}

int PolicyHost::stop_fileno() const noexcept { return server_->state_->stop_waker.fileno(); }

bool PolicyHost::wait_unless_stopped(int descriptor) const {
    return server_->state_->wait_unless_stopped(descriptor);
}

void PolicyHost::enter_child() noexcept {
    server_->state_->table->enter_child();
    detail::CloseOnFork::close_inherited(server_->server_address(), server_->fileno());
    Socket& socket = *server_->socket_;
    // The socket of a datagram server stays open, because the request is answered through it.
    if (socket.channel().datagrams == nullptr) socket.close();
}

void PolicyHost::announce_closed(detail::ConnectionHandle connection) noexcept {
    server_->announce_closed(std::move(connection));
}

void PolicyHost::prepare_workers(std::size_t workers) {
    server_->state_->table->limits.share();
    server_->open_worker_sockets(workers);
}

void PolicyHost::enter_worker(int stop) { enter_worker(stop, {}); }

void PolicyHost::enter_worker(int stop, WorkerNumber number) {
    server_->keep_worker_sockets(number.number, number.workers);
    detail::CloseOnFork::close_inherited(server_->server_address(), server_->fileno());
    server_->state_->enter_worker(stop);
}

void PolicyHost::end_worker_loop() noexcept { server_->state_->stop = true; }

void PolicyHost::leave_worker() noexcept {
    server_->close_worker_sockets();
    server_->socket_.reset();
}

void PolicyHost::worker_has_ended(int pid) noexcept {
    const detail::ServerState& state = *server_->state_;
    state.table->count_out_worker(
        pid, state.life.load().has_cancelled ? CloseReason::cancelled : CloseReason::error);
}

}  // namespace socketserver
