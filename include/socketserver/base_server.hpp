// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <utility>

#include "socketserver/detail/server/policy_base.hpp"
#include "socketserver/policy.hpp"
#include "socketserver/request_handler.hpp"
#include "socketserver/server_base.hpp"
#include "socketserver/synchronous_mixin.hpp"

namespace socketserver {

/// The way of a request, and the hooks on it:
///
///     get_request -> verify_request -> process_request -> MixIn::dispatch ~~> serve_request
///                                                                    prepare_request
///                                                                    finish_request
///                                                                    (handle_error)
///                                                                    shutdown_request
///                                                                    close_request
///
/// What stands left of `~~>` runs in the serving thread, and must not wait for a client; what
/// stands right of it runs where the policy serves the request.
///
/// `MixIn<BaseServer>` is the policy, a base class of the server. It has one duty, a member
/// `dispatch(request, client_address)`, to which the request is moved and which calls
/// serve_request() when and where it likes. Policy declares what else it may do.
///
/// Ownership: a request is owned by one place at any time and closed there exactly once, whatever
/// throws on the way; docs/guide/errors.md has the table.
///
/// Mirrors `socketserver.BaseServer`. TransportServer derives from it, and
/// so do the four servers.
template <class Handler, template <class> class MixIn>
class BaseServer : public ServerBase, public detail::PolicyBase<MixIn<BaseServer<Handler, MixIn>>> {
  public:
    /// The class of the handlers. Mirrors the attribute `RequestHandlerClass`.
    using RequestHandlerClass = Handler;
    /// What its handlers serve: a Socket, or a Datagram.
    using Request = typename Handler::request_type;
    /// Makes the handler of each request. Called where the request is served, from several threads
    /// at once if the policy has several.
    using HandlerFactory = std::function<Handler()>;

    /// @name For policies
    /// @{

    /// Serves a request to its end, on any thread: prepare_request() to close_request(). Throws
    /// nothing; an exception of the handler goes to handle_error().
    ///
    /// Callers leave out `pin`. The library passes it for a request that may outlive the server.
    ///
    /// @return true if the request was served without an exception.
    bool serve_request(Request& request, const Address& client_address,
                       const detail::ServerPin* pin = nullptr);
    /// Ends a request that the policy cannot serve: handle_error(), shutdown_request().
    void fail_request(Request& request, const Address& client_address, std::exception_ptr error);
    /// Calls close_request() for a request that another process serves.
    void release_request(Request& request, const Address& client_address);
    /// @}

  protected:
    /// With the arguments of a constructor of ServerBase.
    template <class... Args>
    explicit BaseServer(Args&&... args) : ServerBase{std::forward<Args>(args)...} {
        ServerBase::set_policy(*this);
    }

    /// Sets the function that makes the handlers. Called in a constructor, before serving begins.
    void set_handler_factory(HandlerFactory factory) { factory_ = std::move(factory); }

    /// @name May be overridden
    /// @{

    /// Whether to serve a request; it is closed if not. Runs in the serving thread.
    virtual bool verify_request(const Request&, const Address&) { return true; }
    /// Called for a connection that is beyond a limit, or for which the policy has no room, before
    /// the connection is closed. It may send a message to the client, but must not wait. It runs in
    /// the serving thread; or, if the client is identified by a header of the PROXY protocol, where
    /// that header is read. The client receives what is sent here, unless it goes on sending for
    /// long itself (docs/guide/production.md).
    virtual void refuse_request(Request&, const Address& /*client_address*/, RefuseCause) {}
    /// Gives a request to the policy. An override that serves it elsewhere moves it from `request`.
    virtual void process_request(Request&& request, const Address& client_address);
    /// Runs where the request is served, before the handler is made. It is the place for an
    /// exchange with the client that has to come first and may wait for the client: a handshake, or
    /// a header. It may replace `client_address`.
    virtual void prepare_request(Request& request, Address& client_address);
    /// Makes the handler and lets it serve the request.
    virtual void finish_request(Request& request, const Address& client_address);
    /// Called for an exception from any of the hooks for this request. The default prints it to
    /// stderr as Python does, unless the client went away or the server is being stopped.
    virtual void handle_error(Request& request, const Address& client_address,
                              std::exception_ptr error);
    /// Ends a request in order. Calls close_request().
    virtual void shutdown_request(Request& request);
    /// Closes the socket of a request in this process.
    virtual void close_request(Request& request);
    /// @}

    /// @name Not to be overridden
    ///
    /// Hooks with wrong parameters. Without these declarations, a member with such parameters would
    /// be a new function that nobody calls. With them it does not compile, whether it is marked
    /// `override` or not.
    /// @{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverloaded-virtual"  // a correct override may hide them
    // Each declaration has one line, because compilers quote the line in their message.
    // clang-format off
    // NOLINTBEGIN(modernize-use-equals-delete): they stand beside the hooks that they resemble
    virtual void handle_error(Request&, const Address&) final = delete;  // add: std::exception_ptr
    virtual bool verify_request(Request&, const Address&) final = delete;  // it takes a const Request&
    virtual void process_request(Request&, const Address&) final = delete;  // it takes a Request&&
    virtual void prepare_request(Request&, const Address&) final = delete;  // it takes an Address&
    virtual void finish_request(const Request&, const Address&) final = delete;  // it takes a Request&
    // NOLINTEND(modernize-use-equals-delete)
    // clang-format on
#pragma GCC diagnostic pop
    /// @}

    /// @name For derived classes
    /// @{

    /// Takes the next request without waiting. Returns nothing if there is none.
    ///
    /// @throws std::system_error as accept(2) failed.
    virtual std::optional<std::pair<Request, Address>> get_request() = 0;
    /// @}

  private:
    detail::Turn serve_one() final;
    bool introduce(Request& request, Address& client_address);
    void admit(detail::Place& place, Request& request, const Address& client_address);
    void refuse(Request& request, const Address& client_address, RefuseCause cause) noexcept;
    void call_handle_error(Request& request, const Address& client_address,
                           std::exception_ptr error) noexcept;
    void call_shutdown_request(Request& request, const Address& client_address) noexcept;

    HandlerFactory factory_;
};

}  // namespace socketserver

#include "socketserver/detail/server/base_server_impl.hpp"
