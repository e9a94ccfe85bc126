// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>

#include "socketserver/address.hpp"
#include "socketserver/buffered_reader.hpp"
#include "socketserver/buffered_writer.hpp"
#include "socketserver/datagram.hpp"
#include "socketserver/detail/server/handler_access.hpp"
#include "socketserver/socket.hpp"

namespace socketserver {

class ServerBase;

namespace detail {
/// False for a class that is only declared. The name is chosen so that the compiler's message
/// helps. The remedy is to define handle() below the class of the server, or to put the members
/// that handlers need into a base class of the server that is defined above the handler.
template <class Server>
concept is_defined_above_this_code = requires {
    sizeof(Server);
};
}  // namespace detail

/// Serves one request: derive from it and override handle().
///
/// The server makes an object for each request, calls setup(), handle() and finish(), and destroys
/// it. finish() is called also if handle() threw, but not if setup() threw. The same class runs in
/// the serving thread, in a thread or a process of its own, or in a fiber; the server's policy
/// decides.
///
/// Thread safety: each object is used by one thread or fiber. Data that it shares with other
/// requests needs a lock, unless all requests are served in one serving thread.
///
/// `Request` is Socket (the connection) or Datagram.
///
/// An exception that leaves setup(), handle() or finish() goes to the server's handle_error(). The
/// connection is closed, and the server goes on serving.
///
/// Mirrors `socketserver.BaseRequestHandler`, whose constructor does all the work. Here the
/// constructor does none of it, and may have any parameters; see the server's handler factory.
template <class Request = Socket>
class BaseRequestHandler {
  public:
    /// What the handler serves: a Socket, or a Datagram.
    using request_type = Request;

    BaseRequestHandler() = default;
    BaseRequestHandler(const BaseRequestHandler&) = delete;
    BaseRequestHandler& operator=(const BaseRequestHandler&) = delete;
    virtual ~BaseRequestHandler() = default;

  protected:
    /// @name To be overridden
    /// @{

    /// Prepares; called before handle().
    virtual void setup() {}
    /// Serves the request.
    virtual void handle() = 0;
    /// Cleans up; called after handle().
    virtual void finish() {}
    /// @}

    /// @name For derived classes
    /// @{

    /// The connection, or the datagram. The server closes it.
    Request& request() const noexcept { return *request_; }
    /// The address of the client. Empty for a Unix client that has no address.
    const Address& client_address() const noexcept { return *client_address_; }
    /// The server that serves the request. Call it anew wherever the server is needed, as in
    /// `server().shutdown()`, and do not keep the reference: in a daemon thread (see
    /// ThreadingMixIn) the server is only guaranteed to exist until the end of the full expression.
    /// Its destructor waits for that end.
    ///
    /// Callers do not pass `pin`: the default argument lives until the end of the full expression.
    ///
    /// @throws std::logic_error in a daemon thread whose server was closed.
    ServerBase& server(detail::ServerPin&& pin = {}) const {
        return detail::server_of(server_, *request_, pin);
    }
    /// The server as an object of its class, or of any base class of it, such as one that holds
    /// what handlers share.
    ///
    /// @throws std::bad_cast if the server is not of this class. Without RTTI (`-fno-rtti`) that is
    /// not checked, and `Server` must derive from ServerBase.
    template <detail::is_defined_above_this_code Server>
    Server& server(detail::ServerPin&& pin = {}) const {
#ifdef __cpp_rtti
        return dynamic_cast<Server&>(detail::server_of(server_, *request_, pin));
#else
        static_assert(std::is_base_of_v<ServerBase, Server>,
                      "server<S>() without RTTI: S must derive from ServerBase");
        return static_cast<Server&>(detail::server_of(server_, *request_, pin));
#endif
    }
    /// To be called in finish(): whether handle() threw.
    bool handle_failed() const noexcept { return handle_failed_; }
    /// @}

  private:
    friend struct detail::HandlerAccess;

    Request* request_ = nullptr;
    const Address* client_address_ = nullptr;
    const ServerBase* server_ = nullptr;  // null: none; see server()
    bool handle_failed_ = false;
};

/// Serves a connection as a pair of files: rfile() to read from, wfile() to write to.
///
/// Derived classes set the four members below in their constructor, or in setup() before they call
/// this class's setup(). Mirrors `socketserver.StreamRequestHandler`.
class SOCKETSERVER_EXPORT StreamRequestHandler : public BaseRequestHandler<Socket> {
  public:
    StreamRequestHandler() = default;
    ~StreamRequestHandler() override;

  protected:
    /// How long each operation on the connection may take. Without a value there is no limit.
    std::optional<std::chrono::nanoseconds> timeout{};
    /// The size of the buffer of rfile(), in bytes. 0 means no buffer, a negative value the
    /// default, as in Python.
    long rbufsize = -1;
    /// The size of the buffer of wfile(), in bytes. 0 means that each write is sent at once, a
    /// negative value the default.
    long wbufsize = 0;
    /// Whether small writes are sent at once instead of being collected by the kernel.
    bool disable_nagle_algorithm = false;

    void setup() override;
    /// Flushes wfile(). If the client has gone, that is not an error here.
    void finish() override;

    /// The same as request().
    Socket& connection() const noexcept { return request(); }
    /// Valid from setup() on.
    BufferedReader& rfile() noexcept { return *rfile_; }
    /// Valid from setup() on.
    BufferedWriter& wfile() noexcept { return *wfile_; }

  private:
    std::optional<BufferedReader> rfile_;
    std::optional<BufferedWriter> wfile_;
};

/// Serves a datagram as a pair of files: rfile() reads what was received, and what was written to
/// wfile() is sent back as one datagram when handle() has returned.
///
/// Nothing is sent if nothing was written, if handle() threw, or if the sender has no address (a
/// Unix client that is not bound). If the client has gone, or does not read, that is not an error:
/// the reply is lost, and counted (CloseReason::reset or timed_out). Mirrors
/// `socketserver.DatagramRequestHandler`, which sends an empty datagram in the first two cases and
/// fails in the third.
class SOCKETSERVER_EXPORT DatagramRequestHandler : public BaseRequestHandler<Datagram> {
  public:
    DatagramRequestHandler() = default;
    ~DatagramRequestHandler() override;

  protected:
    void setup() override;
    void finish() override;

    /// Valid from setup() on.
    BufferedReader& rfile() noexcept { return *rfile_; }
    /// Valid from setup() on.
    BufferedWriter& wfile() noexcept { return *wfile_; }

  private:
    std::optional<BufferedReader> rfile_;
    std::optional<BufferedWriter> wfile_;
};

}  // namespace socketserver
