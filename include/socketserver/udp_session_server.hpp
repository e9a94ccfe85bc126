// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <utility>

#include "socketserver/base_server.hpp"
#include "socketserver/detail/server/concepts.hpp"
#include "socketserver/detail/server/default_factory.hpp"
#include "socketserver/detail/server/udp_sessions.hpp"
#include "socketserver/errors.hpp"
#include "socketserver/udp_server.hpp"

namespace socketserver {

/// A server on UDP whose requests are sessions: all datagrams between a client's address and the
/// server's, from the first one until the handler returns.
///
///     class Handler : public BaseRequestHandler<> {
///         void handle() override {
///             for (std::string data; !(data = request().recv(65536)).empty();) {
///                 request().sendall(answer_to(data));
///             }
///         }
///     };
///     UDPSessionServer<Handler, ThreadingMixIn> server{{"", 69}, {.idle_timeout = 30s}};
///
/// The first datagram of a client begins a session, which one handler serves by the policy of the
/// server: in a thread, a fiber or a child process, for example. Its request() is a Socket that is
/// connected to the client: recv() waits for the client's next datagram, sendall() sends one, and
/// timeouts work as for every Socket. Replies come from the address to which the client sent its
/// first datagram. When handle() returns, the session is over, and the client's next datagram
/// begins another one.
///
/// recv() returns an empty string when the session is over: the server is drained, or the client
/// has closed its port. Empty datagrams are skipped. A datagram that is longer than the size that
/// recv() was given is cut. A StreamRequestHandler may serve a session as well: rfile() joins the
/// datagrams, and each write to wfile() is one.
///
/// Idle sessions: if the client's next datagram does not come within `ServerOptions::idle_timeout`,
/// one minute by default, the session ends with IdleTimeout. handle_error() does not report it, and
/// statistics() counts it as CloseReason::timed_out. A UDP client does not announce that it goes,
/// so server_close() may wait that long for sessions that threads and children serve; drain() ends
/// idle sessions at once.
///
/// Limits: `ServerOptions::max_connections`, 1000 by default, is how many sessions there may be at
/// a time, and `max_connections_per_address` how many of one address. Each session takes a
/// descriptor. Linux before 6.13 searches a list of all sessions for each datagram, which becomes
/// slow with several thousand sessions.
///
/// Under PreforkMixIn, if the first datagrams of a client come in one burst, two workers may each
/// begin a session for it. Several threads in serve_forever() in one process do not.
///
/// Constructors: TransportServer. Lifecycle, thread safety and errors: ServerBase. Hooks:
/// BaseServer. Beyond Python, whose programs keep a dictionary of addresses.
template <detail::stream_handler Handler, template <class> class MixIn = SynchronousMixIn>
class UDPSessionServer : public BaseServer<Handler, MixIn> {
    using Base = BaseServer<Handler, MixIn>;

  public:
    using typename Base::HandlerFactory;

    /// How many sessions there may be, unless the options set a limit.
    static constexpr std::size_t default_max_connections = 1000;
    /// How long a session may be idle, unless the options set a time.
    static constexpr std::chrono::minutes default_idle_timeout{1};

    /// Binds, unless the options say otherwise. `factory` makes the handler of each session.
    ///
    /// @throws std::system_error naming the operation and the address.
    explicit UDPSessionServer(const Address& server_address, const ServerOptions& options = {},
                              HandlerFactory factory = detail::default_factory<Handler>())
        : Base{server_address, detail::the_transport<UDPTransport>, bounded(options)} {
        this->set_handler_factory(std::move(factory));
        if (!options.bind_and_activate) return;
        UDPSessionServer::server_bind();  // the derived class does not exist yet
        UDPSessionServer::server_activate();
    }
    /// Adopts a socket that is bound.
    ///
    /// @throws std::system_error if the socket is of another kind.
    explicit UDPSessionServer(Socket&& bound, const ServerOptions& options = {},
                              HandlerFactory factory = detail::default_factory<Handler>())
        : Base{std::move(bound), detail::the_transport<UDPTransport>, bounded(options)} {
        this->set_handler_factory(std::move(factory));
        detail::UdpSessions::share_port(this->socket());
    }
    ~UDPSessionServer() override { this->end_before_destruction(); }

  protected:
    void server_bind() override {
        Base::server_bind();
        detail::UdpSessions::share_port(this->socket());
    }
    std::optional<std::pair<Socket, Address>> get_request() override {
        const WakeLoop if_more_is_waiting{*this};
        return sessions_.begin_next(this->socket());
    }
    /// Does not report the end of an idle session.
    void handle_error(Socket& request, const Address& client_address,
                      std::exception_ptr error) override {
        try {
            std::rethrow_exception(error);
        } catch (const IdleTimeout&) {
            return;
        } catch (...) {
            Base::handle_error(request, client_address, error);
        }
    }

  private:
    /// Wakes the loop when get_request() ends, also by an exception, if datagrams are left that
    /// were taken from the server's socket before. The loop waits for that socket, which is not
    /// readable then.
    struct WakeLoop {
        explicit WakeLoop(UDPSessionServer& of) : server{of} {}
        WakeLoop(const WakeLoop&) = delete;
        WakeLoop& operator=(const WakeLoop&) = delete;
        ~WakeLoop() {
            if (server.sessions_.has_waiting()) server.wake_loop();
        }
        UDPSessionServer& server;
    };

    static ServerOptions bounded(ServerOptions options) {
        detail::UdpSessions::check(options);
        if (!options.max_connections) options.max_connections = default_max_connections;
        if (!options.idle_timeout) options.idle_timeout = default_idle_timeout;
        return options;
    }

    detail::UdpSessions sessions_;
};

}  // namespace socketserver
