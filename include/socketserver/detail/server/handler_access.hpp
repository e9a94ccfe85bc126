// SPDX-License-Identifier: MIT
#pragma once

#include <exception>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/os/forced_unwind.hpp"
#include "socketserver/detail/server/server_link.hpp"

namespace socketserver {

class Datagram;
class Socket;
template <class Request>
class BaseRequestHandler;

namespace detail {

/// What a handler knows of its server. Does not own: the request's carrier keeps the link.
class SOCKETSERVER_EXPORT HandlerLink {
  public:
    HandlerLink() = default;
    /// @param may_be_lost whether the server may go while the handler runs.
    HandlerLink(const ServerLink& link, bool may_be_lost) noexcept
        : link_{&link}, may_be_lost_{may_be_lost} {}

    /// The server does not go before `pin` does.
    ///
    /// @throws std::logic_error if there is none.
    ServerBase& server(ServerPin& pin) const;

  private:
    const ServerLink* link_ = nullptr;
    bool may_be_lost_ = false;
};

/// The handler has the request from now on: whoever moves its socket away keeps it.
SOCKETSERVER_EXPORT void begin_handling(Socket& request) noexcept;
inline void begin_handling(Datagram&) noexcept {}

/// Throws what finish() threw with the exception of handle() nested in it.
[[noreturn]] SOCKETSERVER_EXPORT void throw_finish_error(std::exception_ptr of_handle);

/// The part of a handler's life that only the library may drive.
struct HandlerAccess {
    /// The whole life between constructor and destructor. `link` may be null: no server.
    template <class Handler, class Request>
    static void run(Handler& derived, Request& request, const Address& client_address,
                    const ServerLink* link, bool may_be_lost = false) {
        auto& handler = static_cast<BaseRequestHandler<Request>&>(derived);
        handler.request_ = &request;
        handler.client_address_ = &client_address;
        if (link != nullptr) handler.link_ = HandlerLink{*link, may_be_lost};
        begin_handling(request);
        handler.setup();
        std::exception_ptr failure;
        try {
            handler.handle();
        } catch (const ForcedUnwind&) {
            throw;  // pthread_cancel: not an exception, and must not be kept
        } catch (...) {
            failure = std::current_exception();
            handler.handle_failed_ = true;
        }
        if (!failure) return handler.finish();
        finish_after_failure(handler, failure);
    }

    /// Null for null.
    SOCKETSERVER_EXPORT static const ServerLink* link_of(const ServerBase* server) noexcept;

  private:
    template <class Handler>
    [[noreturn]] static void finish_after_failure(Handler& handler, std::exception_ptr failure) {
        try {
            handler.finish();
        } catch (const ForcedUnwind&) {
            throw;
        } catch (...) {
            throw_finish_error(failure);
        }
        std::rethrow_exception(failure);
    }
};

}  // namespace detail
}  // namespace socketserver
