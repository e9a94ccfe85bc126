// SPDX-License-Identifier: MIT
#include "socketserver/request_handler.hpp"

#include <stdexcept>
#include <string>
#include <system_error>

#include "io/request_hooks.hpp"
#include "socketserver/detail/request/record_access.hpp"
#include "socketserver/errors.hpp"
#include "socketserver/server_base.hpp"

namespace socketserver {

namespace {
/// 0 is "none" and is kept; a negative size is "the default", as in Python.
std::size_t buffer_size(long wanted) {
    return wanted < 0 ? BufferedReader::default_buffer_size : static_cast<std::size_t>(wanted);
}
}  // namespace

namespace detail {

ServerBase& HandlerLink::server(ServerPin& pin) const {
    if (link_ == nullptr) throw std::logic_error("this handler serves no server's request");
    if (may_be_lost_ && pin.pin(*link_)) return pin.server();
    return link_->server();  // or throws
}

void begin_handling(Socket& request) noexcept { begin_handling(request.channel()); }

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
        throw FinishError(text, of_finish);  // with the current exception, handle()'s, nested in it
    }
}

const ServerLink* HandlerAccess::link_of(const ServerBase* server) noexcept {
    return server == nullptr ? nullptr : server->link().get();
}

}  // namespace detail

StreamRequestHandler::~StreamRequestHandler() = default;

void StreamRequestHandler::setup() {
    if (timeout) connection().settimeout(timeout);
    if (disable_nagle_algorithm) connection().set_nodelay(true);
    rfile_.emplace(connection(), buffer_size(rbufsize));
    wfile_.emplace(connection(), buffer_size(wbufsize));
}

void StreamRequestHandler::finish() {
    try {
        wfile().flush();
    } catch (const Cancelled&) {
        // The stop that ended handle() is told once.
        if (!handle_failed()) throw;
    } catch (const DeadlineExceeded&) {
        if (!handle_failed()) throw;  // the same
    } catch (const std::system_error&) {
        // Only the client's going is no error; anything else loses what was written.
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
        // Only that the client has gone, or does not read, is no error; it is counted.
        if (!detail::RecordAccess::peer_gone(request())) throw;
        detail::note_failure(detail::RecordAccess::of(request()), std::current_exception(), true);
    }
}

}  // namespace socketserver
