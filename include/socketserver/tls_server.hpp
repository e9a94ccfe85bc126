// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "socketserver/detail/server/default_factory.hpp"
#include "socketserver/server_options.hpp"
#include "socketserver/ssl_context.hpp"
#include "socketserver/tls.hpp"

namespace socketserver {

/// The arguments of Python's `http.server.HTTPSServer` that concern TLS.
///
///     {.certfile = "cert.pem", .keyfile = "key.pem"}
struct TLSFiles {
    /// The file of the certificate, with its chain.
    std::string certfile{};
    /// The file of the private key. If it is empty, the key is in `certfile`.
    std::string keyfile{};
    /// The password of the key, if it has one.
    std::optional<std::string> password{};
    /// See SSLContext::set_alpn_protocols().
    std::vector<std::string> alpn_protocols{};

    /// @throws SSLError as SSLContext::load_cert_chain().
    SSLContext context() const {
        SSLContext made{TLSPurpose::server};
        made.load_cert_chain(certfile, keyfile, password);
        if (!alpn_protocols.empty()) made.set_alpn_protocols(alpn_protocols);
        return made;
    }
};

/// Makes a stream server one that speaks TLS: the same handler, encrypted.
///
///     TLSServer<ThreadingTCPServer<EchoHandler>> server{
///         {"localhost", 9999}, {.certfile = "cert.pem", .keyfile = "key.pem"}};
///
/// `Server` is TCPServer or UnixStreamServer with any policy, or a class of yours that derives from
/// one; or derive from TLSServer. The handshake takes place where the request is served, before
/// prepare_request() of `Server`, under a time limit of its own.
///
/// If a handshake fails, the connection is closed and counted as CloseReason::handshake. The
/// default handle_error() prints nothing for it, because it is the client's failure;
/// handshake_failed() gets the reason.
///
/// A class that derives from it and overrides hooks must call server_close() in its destructor, as
/// for every server.
///
/// Thread safety: as ServerBase. Hooks are called from several threads at once if the policy has
/// several.
template <class Server>
class TLSServer : public Server {
    static_assert(std::is_same_v<typename Server::Request, Socket>,
                  "TLSServer takes a stream server: TCPServer or UnixStreamServer");

  public:
    using typename Server::HandlerFactory;

    /// How long a handshake may last. To be set before serving begins.
    std::chrono::nanoseconds handshake_timeout = default_handshake_timeout;

    /// Binds and listens, as `Server` does.
    ///
    /// @throws SSLError if the certificate or its key cannot be used; std::system_error.
    TLSServer(
        const Address& server_address, const TLSFiles& files, const ServerOptions& options = {},
        HandlerFactory factory = detail::default_factory<typename Server::RequestHandlerClass>())
        : TLSServer{files.context(), server_address, options, std::move(factory)} {}
    /// The same with a context.
    TLSServer(
        const Address& server_address, SSLContext context, const ServerOptions& options = {},
        HandlerFactory factory = detail::default_factory<typename Server::RequestHandlerClass>())
        : TLSServer{std::move(context), server_address, options, std::move(factory)} {}
    /// With the arguments of any constructor of `Server`.
    ///
    /// @throws SSLError if the context is one for clients.
    template <class... Arguments>
    requires std::constructible_from<Server, Arguments...>
    explicit TLSServer(SSLContext context, Arguments&&... arguments)
        : Server(std::forward<Arguments>(arguments)...), context_{std::move(context)} {
        if (context_.purpose() == TLSPurpose::server) return;
        throw SSLError("TLSServer: the context is one for clients");
    }
    ~TLSServer() override { this->end_before_destruction(); }

    /// The context of the server, for example to call reload().
    SSLContext& context() noexcept { return context_; }

  protected:
    /// @name May be overridden
    /// @{

    /// Makes the handshake, then calls prepare_request() of `Server`. An override that has to read
    /// something before the handshake reads it and then calls this function. If an override does
    /// not call this function at all, the handshake takes place after the override has returned.
    void prepare_request(Socket& request, Address& client_address) override {
        secure(request, client_address);
        Server::prepare_request(request, client_address);
    }
    /// Makes the handshake if an override of prepare_request() has not, then calls finish_request()
    /// of `Server`.
    void finish_request(Socket& request, const Address& client_address) override {
        if (!is_tls(request)) secure(request, client_address);
        Server::finish_request(request, client_address);
    }
    /// Called after the handshake: decides whether to serve this client, for example by its
    /// certificate. Runs where the request is served. If it returns false, the connection is closed
    /// as after a failed handshake.
    virtual bool verify_peer(const TLSConnection&, const Address& /*client_address*/) {
        return true;
    }
    /// Called when a handshake failed, where the request is served.
    virtual void handshake_failed(const Address& /*client_address*/, const HandshakeError&) {}
    /// @}

  private:
    void secure(Socket& request, const Address& client_address) {
        try {
            start_tls(request, context_, {}, handshake_timeout);
            if (verify_peer(TLSConnection{request}, client_address)) return;
            detail::refuse_tls(request);
            throw HandshakeError(HandshakeFailure::wrong_certificate, true,
                                 "TLS handshake: verify_peer() refused the client");
        } catch (const HandshakeError& error) {
            handshake_failed(client_address, error);
            throw;
        }
    }

    SSLContext context_;
};

}  // namespace socketserver
