// SPDX-License-Identifier: MIT
#include "socketserver/request_handler.hpp"

#include <stdexcept>
#include <string>
#include <system_error>

#include "request/connection.hpp"
#include "request/request_table.hpp"
#include "server/server_state.hpp"
#include "socketserver/errors.hpp"
#include "socketserver/server_base.hpp"

namespace socketserver {

namespace {
/// Converts a buffer size as Python does: 0 means no buffer, a negative size the default.
std::size_t buffer_size(long wanted) {
    return wanted < 0 ? BufferedReader::default_buffer_size : static_cast<std::size_t>(wanted);
}
}  // namespace

namespace detail {

ServerPin* begin_handling(Connection* record) noexcept {
    if (record == nullptr) return nullptr;
    record->is_handled = true;
    return record->pin;
}

namespace {

/// Does not use the server before it is pinned.
ServerBase& find_server(const ServerBase* server, const Connection* record, ServerPin& pin) {
    if (server == nullptr) throw std::logic_error("this handler serves no server's request");
    // The request has no record, or the record of another server, which has passed the request to
    // this one.
    if (record == nullptr || !record->table->server->leads_to(*server)) {
        return HandlerAccess::link_of(*server).server();
    }
    const ServerLink& link = *record->table->server;
    if (record->may_outlive_server && pin.pin(link)) return pin.server();
    return link.server();  // throws if the server is gone
}

}  // namespace

ServerBase& server_of(const ServerBase* server, Socket& request, ServerPin& pin) {
    return find_server(server, record_of(request).get(), pin);
}
ServerBase& server_of(const ServerBase* server, Datagram& request, ServerPin& pin) {
    return find_server(server, record_of(request).get(), pin);
}

const ServerLink& HandlerAccess::link_of(const ServerBase& server) noexcept {
    return *server.state_->table->server;
}

void throw_finish_error(std::exception_ptr of_handle) {
    const std::exception_ptr of_finish = std::current_exception();
    std::string text = "finish() failed after handle() had failed: ";
    try {
        throw;
    } catch (const std::exception& error) {
        text += error.what();
    } catch (...) {
        text += "unknown exception";
    }
    try {
        std::rethrow_exception(of_handle);
    } catch (...) {
        throw FinishError(text, of_finish);  // the exception of handle() is nested in it
    }
}

}  // namespace detail

StreamRequestHandler::~StreamRequestHandler() = default;

void StreamRequestHandler::setup() {
    if (timeout) request().settimeout(timeout);
    if (disable_nagle_algorithm) request().set_nodelay(true);
    rfile_.emplace(request(), buffer_size(rbufsize));
    wfile_.emplace(request(), buffer_size(wbufsize));
}

void StreamRequestHandler::finish() {
    try {
        wfile().flush();
    } catch (const Cancelled&) {
        // If a stop has ended handle(), it is not reported a second time.
        if (!handle_failed()) throw;
    } catch (const DeadlineExceeded&) {
        if (!handle_failed()) throw;  // the same
    } catch (const std::system_error&) {
        // It is no error if the client has gone. With any other exception output is lost.
        if (!connection().peer_gone()) throw;
    }
}

DatagramRequestHandler::~DatagramRequestHandler() = default;

void DatagramRequestHandler::setup() {
    rfile_.emplace(request().data());
    wfile_.emplace();
}

void DatagramRequestHandler::finish() {
    const std::string_view reply = wfile().data();
    if (handle_failed() || reply.empty() || client_address().empty()) return;
    try {
        request().socket().sendto(reply, client_address());
    } catch (const Cancelled&) {
        throw;
    } catch (const std::system_error&) {
        // It is no error if the client has gone or does not read; that is counted.
        if (detail::undelivered(request()) == 0) throw;
        detail::note_failure(request(), std::current_exception());
    }
}

}  // namespace socketserver
