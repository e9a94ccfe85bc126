// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <optional>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/os/forced_unwind.hpp"
#include "socketserver/detail/request/connection.hpp"
#include "socketserver/detail/request/server_link.hpp"

namespace socketserver {

class Datagram;
class Socket;
template <class Request>
class BaseRequestHandler;

namespace detail {

/// Called when the handler gets the request. Before this call policies and hooks may move the
/// socket. After it only the handler moves it, in order to keep the connection.
///
/// @param record null if the request has none.
/// @return the pin of a request that may outlive its server, or null.
SOCKETSERVER_EXPORT ServerPin* begin_handling(Connection* record) noexcept;

/// The server of a handler. It is not destroyed before `pin` is.
///
/// @param server null if the handler was not made by a server.
/// @throws std::logic_error if there is none.
SOCKETSERVER_EXPORT ServerBase& server_of(const ServerBase* server, Socket& request,
                                          ServerPin& pin);
SOCKETSERVER_EXPORT ServerBase& server_of(const ServerBase* server, Datagram& request,
                                          ServerPin& pin);

/// Throws what finish() threw with the exception of handle() nested in it.
[[noreturn]] SOCKETSERVER_EXPORT void throw_finish_error(std::exception_ptr of_handle);

/// The private functions of a handler that only the library may call.
struct HandlerAccess {
    /// Calls setup(), handle() and finish(). `server` is null if there is none.
    template <class Handler, class Request>
    static void run(Handler& derived, Request& request, const Address& client_address,
                    const ServerBase* server) {
        auto& handler = static_cast<BaseRequestHandler<Request>&>(derived);
        handler.request_ = &request;
        handler.client_address_ = &client_address;
        handler.server_ = server;
        std::optional<ServerPin::Pause> pause;
        if (ServerPin* const pin = begin_handling(record_of(request).get())) pause.emplace(*pin);
        handler.setup();
        std::exception_ptr failure;
        try {
            handler.handle();
        } catch (...) {
            rethrow_forced_unwind();  // pthread_cancel: not an exception, and must not be kept
            failure = std::current_exception();
            handler.handle_failed_ = true;
        }
        if (!failure) return handler.finish();
        finish_after_failure(handler, failure);
    }

    static const ServerLink& link_of(const ServerBase& server) noexcept;

  private:
    template <class Handler>
    [[noreturn]] static void finish_after_failure(Handler& handler, std::exception_ptr failure) {
        try {
            handler.finish();
        } catch (...) {
            rethrow_forced_unwind();
            throw_finish_error(failure);
        }
        std::rethrow_exception(failure);
    }
};

}  // namespace detail
}  // namespace socketserver
