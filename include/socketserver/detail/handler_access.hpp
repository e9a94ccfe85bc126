// SPDX-License-Identifier: MIT
#pragma once

#include <cxxabi.h>

#include <exception>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/server_link.hpp"

namespace socketserver {

template <class Request>
class BaseRequestHandler;

namespace detail {

/// What a handler knows of its server. Does not own: the request's carrier keeps the link.
class SOCKETSERVER_EXPORT HandlerLink {
  public:
    HandlerLink() = default;
    explicit HandlerLink(const ServerLink& link) noexcept : link_{&link} {}

    /// @throws std::logic_error if there is none.
    ServerBase& server() const;

  private:
    const ServerLink* link_ = nullptr;
};

/// Throws what finish() threw with the exception of handle() nested in it.
[[noreturn]] SOCKETSERVER_EXPORT void throw_finish_error(std::exception_ptr of_handle);

/// The part of a handler's life that only the library may drive.
struct HandlerAccess {
    /// The whole life between constructor and destructor. `link` may be null: no server.
    template <class Handler, class Request>
    static void run(Handler& derived, Request& request, const Address& client_address,
                    const ServerLink* link) {
        auto& handler = static_cast<BaseRequestHandler<Request>&>(derived);
        handler.request_ = &request;
        handler.client_address_ = &client_address;
        if (link != nullptr) handler.link_ = HandlerLink{*link};
        handler.setup();
        std::exception_ptr failure;
        try {
            handler.handle();
        } catch (const abi::__forced_unwind&) {
            throw;  // pthread_cancel: not an exception, and must not be kept
        } catch (...) {
            failure = std::current_exception();
            handler.handle_failed_ = true;
        }
        if (!failure) return handler.finish();
        finish_after_failure(handler, failure);
    }

  private:
    template <class Handler>
    [[noreturn]] static void finish_after_failure(Handler& handler, std::exception_ptr failure) {
        try {
            handler.finish();
        } catch (const abi::__forced_unwind&) {
            throw;
        } catch (...) {
            throw_finish_error(failure);
        }
        std::rethrow_exception(failure);
    }
};

}  // namespace detail
}  // namespace socketserver
