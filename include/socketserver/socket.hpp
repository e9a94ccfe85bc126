// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/channel.hpp"

namespace socketserver {

/// `SOCK_STREAM` and `SOCK_DGRAM` in Python.
enum class SocketType : unsigned char { stream, datagram };

/// Which half of a connection to end: `SHUT_RD`, `SHUT_WR`, `SHUT_RDWR` in Python.
enum class ShutdownHow : unsigned char { read, write, both };

/// When the kernel probes a silent TCP peer to find out whether it is still there; see
/// Socket::set_keepalive(). Each time is at least one second; parts of a second are rounded up.
struct KeepAlive {
    std::chrono::seconds idle{60};      ///< how long the peer is silent before the first probe
    std::chrono::seconds interval{10};  ///< the time between two probes
    int probes = 6;  ///< the connection is reset after this many unanswered probes
};

/// The process at the other end of a Unix socket: `SO_PEERCRED`.
struct PeerCredentials {
    /// Its process id.
    int pid = 0;
    /// Its effective user.
    unsigned uid = 0;
    /// Its effective group.
    unsigned gid = 0;
};

/// A multicast group, and the interface on which it is joined; see Socket::join_group().
struct MulticastGroup {
    Address group;  ///< its port is ignored
    /// The name of the interface ("eth0") or its number. If it is empty, the interface is that of
    /// an IPv6 address ("ff02::fb%eth0") or else the one to which the system routes the group.
    std::string interface {};
    /// Receives only what this address sends (source-specific multicast). If it is empty, the
    /// datagrams of all senders are received.
    Address source{};
};

struct ReceivedFds;

class ReplyPath;
class Socket;

namespace detail {
ConnectionHandle& record_of(Socket& request);

struct Arrival;
class RelaySide;

/// Output that a BufferedWriter holds back until someone waits for the peer.
class Corked {
  public:
    /// Called before something else is sent: sends the output, and waits if another thread is
    /// sending it.
    virtual void flush_before_send() = 0;
    /// Called before waiting for input: sends the output, or leaves that to the thread that is
    /// writing at the moment.
    virtual void flush_before_wait() = 0;

  protected:
    ~Corked() = default;
};
}  // namespace detail

/// One end of a connection, or a datagram socket: an owned, close-on-exec descriptor with blocking
/// operations. In a fiber the same operations suspend the fiber instead.
///
/// Thread safety: distinct objects are independent. On one object, one thread (or fiber) may
/// receive while another sends. Everything else needs a lock, closing the object included.
///
/// Ownership: move-only; the destructor closes. If a BufferedWriter holds back output for the
/// socket, a move sends that first, which may wait as sendall() does; if it fails, the connection
/// is shut down. A handler keeps its connection by moving the socket away. The connection is no
/// longer the server's then: it is not counted as active, neither a stop nor a drain breaks it off,
/// and its new owner closes it.
///
/// Errors: operations throw `std::system_error` whose text names the operation; TimeoutError when
/// the time of settimeout() is over. End of stream is an empty result. SIGPIPE is never raised:
/// sending to a peer that went away throws with `std::errc::broken_pipe`.
///
/// Mirrors `socket.socket`.
class SOCKETSERVER_EXPORT Socket {
  public:
    /// A socket that is closed.
    Socket() noexcept = default;
    /// Adopts a descriptor, for example one inherited from a service manager. The object owns it
    /// from now on. Mirrors `socket.socket(fileno=…)`.
    explicit Socket(int descriptor) noexcept { channel_.fd = descriptor; }
    /// A new socket of the family of `address`, neither bound nor connected.
    Socket(const Address& address, SocketType type);
    /// Takes the descriptor over; `other` is closed afterwards.
    Socket(Socket&& other) noexcept;
    /// The same, after close() of this one.
    Socket& operator=(Socket&& other) noexcept;
    ~Socket();

    /// @name Bytes
    /// @{

    /// Waits for data and returns at most `size` bytes: from a stream what has arrived, from a
    /// datagram socket one datagram. Returns an empty string if the peer has ended its side, or if
    /// `size` is 0.
    std::string recv(std::size_t size);
    /// Does what recv() does, into memory of the caller. Returns the number of bytes; 0 means the
    /// end of the stream.
    std::size_t recv_into(std::span<char> buffer);
    /// Receives exactly `size` bytes of a stream. The timeout applies to all of them together, as
    /// it does in sendall(). After a timeout the bytes that had come are lost. Memory is allocated
    /// as the bytes come. Mirrors `recv(size, MSG_WAITALL)` with a check of the length.
    ///
    /// @throws IncompleteReadError with what came, if the peer ends its side before.
    std::string recv_exactly(std::size_t size);
    /// The same, into memory of the caller, which is filled.
    void recv_exactly(std::span<char> buffer);
    /// Sends all of `data`, or throws. Mirrors `socket.sendall`.
    void sendall(std::string_view data);
    /// Sends once and returns how many bytes the kernel took.
    std::size_t send(std::string_view data);
    /// Sends `count` bytes of an open file (all that follow `offset` by default), without copying
    /// them through the program. Returns how many were sent. Sources that the kernel cannot send in
    /// this way (a pipe, a file of /proc, another socket) are read and sent. For a source without
    /// positions `offset` must be 0, and the timeout of this socket does not end a wait for the
    /// source. Mirrors `socket.sendfile`.
    std::size_t sendfile(int file, std::size_t offset = 0, std::optional<std::size_t> count = {});
    /// Sends one datagram. Mirrors `socket.sendto`.
    void sendto(std::string_view data, const Address& address);
    /// Receives one datagram of at most `size` bytes and who sent it. Mirrors `socket.recvfrom`.
    std::pair<std::string, Address> recvfrom(std::size_t size);
    /// @}

    /// @name Descriptors
    /// @{

    /// Sends `data`, and with its first byte copies of open descriptors, over a Unix socket. The
    /// caller keeps its own. Mirrors `socket.send_fds`.
    ///
    /// @throws std::system_error, with `std::errc::operation_not_supported` if the socket has a
    /// ByteFilter (TLS); std::invalid_argument if `data` is empty, or if there are more than 253
    /// descriptors.
    void send_fds(std::string_view data, std::span<const int> descriptors);
    /// Receives as recv() does, and with the data at most `most` descriptors. Further descriptors
    /// are closed. Mirrors `socket.recv_fds`.
    ReceivedFds recv_fds(std::size_t size, std::size_t most);
    /// @}

    /// @name Connection
    /// @{

    /// Binds the socket to an address. Mirrors `socket.bind`.
    void bind(const Address& address);
    /// Makes the socket listen; the kernel queues up to `backlog` connections. Mirrors
    /// `socket.listen`.
    void listen(int backlog);
    /// Waits for a connection. The new socket has no timeout, whatever the timeout of this one is.
    std::pair<Socket, Address> accept();
    /// Waits for the connection, as long as the timeout allows. Mirrors `socket.connect`.
    void connect(const Address& address);
    /// Ends one or both directions; the peer sees the end of the stream. On a connection that the
    /// peer has reset, ending both directions does nothing. Mirrors `socket.shutdown`, which throws
    /// in that case.
    void shutdown(ShutdownHow how);
    /// Idempotent.
    void close() noexcept;
    /// Returns the descriptor, which the caller owns from then on, or -1 if there is none. Output
    /// that is held back is sent first, as by a move.
    ///
    /// @throws std::system_error if the socket speaks TLS, because the keys cannot go with the
    /// descriptor.
    int detach();
    /// @}

    /// @name Properties
    /// @{

    /// The descriptor, for operations that this class does not offer; -1 if the socket is closed.
    /// The object still owns it.
    int fileno() const noexcept { return channel_.fd; }
    /// Whether there is a descriptor.
    bool is_open() const noexcept { return channel_.fd != -1; }
    /// Its own address. Mirrors `socket.getsockname`.
    Address getsockname() const;
    /// The address of its peer. Mirrors `socket.getpeername`.
    Address getpeername() const;

    /// Sets how long each operation may take. Without a value operations wait for ever. With zero
    /// they do not wait: an operation that would have to wait throws with
    /// `std::errc::resource_unavailable_try_again`.
    void settimeout(std::optional<std::chrono::nanoseconds> timeout);
    /// The timeout that settimeout() has set.
    std::optional<std::chrono::nanoseconds> gettimeout() const noexcept;
    /// Sets the time by which all operations together must have ended; without a value there is no
    /// such time. An operation that would have to wait longer throws DeadlineExceeded.
    ///
    /// A server sets the deadline of the connections that it serves from
    /// ServerOptions::idle_timeout and request_timeout. A deadline that a handler sets replaces it
    /// for the rest of the request: a handler that has read a request within request_timeout can so
    /// get the time that its answer needs. The next request gets the deadline of the server again,
    /// if these options are set. On such a connection every operation after the deadline throws,
    /// also an operation that need not wait.
    ///
    /// To be called by the thread or fiber that serves, between two operations. Mirrors
    /// `asyncio.timeout_at`; Python's sockets have no counterpart.
    void set_deadline(std::optional<std::chrono::steady_clock::time_point> deadline) noexcept;
    /// Sends small pieces at once (TCP_NODELAY) instead of collecting them (Nagle's algorithm).
    /// Does nothing on a socket that is not TCP.
    void set_nodelay(bool on);
    /// Makes the kernel probe a silent TCP peer; without a value it does not. If the peer does not
    /// answer, a receive fails with a `std::system_error` whose code is `std::errc::timed_out`.
    void set_keepalive(std::optional<KeepAlive> keepalive);
    /// How long close() waits until what was sent has been acknowledged. Zero: close() resets the
    /// connection. Without a value it does not wait, and the kernel sends on. In a fiber no close()
    /// waits.
    void set_linger(std::optional<std::chrono::seconds> time);
    /// How long what was sent by TCP may stay unacknowledged before the connection is broken
    /// (TCP_USER_TIMEOUT). Without a value the settings of the system decide.
    void set_user_timeout(std::optional<std::chrono::milliseconds> time);
    /// Sets how much memory, in bytes, the kernel uses for data that has arrived and that the
    /// program has not received yet. Linux doubles the number, within limits of the system. If it
    /// is set on a listening socket, it applies to the connections that the socket accepts.
    void set_receive_buffer(std::size_t size);
    /// The same for data that was sent and that the peer has not acknowledged yet.
    void set_send_buffer(std::size_t size);

    /// Receives what is sent to a group from now on. A socket may join several groups, on several
    /// interfaces, and a group for several sources. The socket must be bound to the port of the
    /// group, on every address ("" or "::") or on the address of the group. It receives only the
    /// groups that it has joined itself; by default Linux would also deliver the groups that other
    /// sockets of the machine have joined. Closing the socket leaves the groups.
    ///
    /// @throws std::system_error naming the group if the address is no multicast group, if the
    /// interface does not exist or has no route for it, or if the socket has joined it already.
    void join_group(const MulticastGroup& group);
    /// @throws std::system_error naming the group, if it has not been joined like this.
    void leave_group(const MulticastGroup& group);
    /// Sets the interface, by name or number, through which datagrams to a group are sent. By
    /// default the routes of the system decide.
    void set_multicast_interface(const std::string& interface);
    /// Sets the time to live of datagrams to a group, 0 to 255: with 0 they stay on this machine,
    /// with 1 (the default) on the local network.
    void set_multicast_ttl(int hops);
    /// Sets whether sockets of this machine that have joined the group receive the datagrams too
    /// (they do by default).
    void set_multicast_loop(bool on);
    /// Allows sending datagrams to a broadcast address. Without this such a send throws with
    /// `std::errc::permission_denied`.
    void set_broadcast(bool on);

    /// Sets an option of the system by its level and number, for options without a function in this
    /// class: `setsockopt(IPPROTO_IP, IP_TOS, 0x10)`. The value must have the type that the kernel
    /// expects, which is `int` for most options. To set an option before a server binds, call this
    /// on ServerBase::socket() in an override of server_bind(), before calling the function of the
    /// base class. Mirrors `socket.setsockopt`.
    ///
    /// @throws std::system_error naming the option.
    template <class Value>
    requires std::is_trivially_copyable_v<Value>
    void setsockopt(int level, int option, const Value& value) {
        static_assert(!std::is_pointer_v<Value>, "setsockopt: pass the value, not its address");
        static_assert(!std::is_same_v<Value, bool>, "setsockopt: the kernel expects 1 or 0");
        set_option(level, option, &value, sizeof value, nullptr);
    }
    /// The value of an option. Mirrors `socket.getsockopt`.
    ///
    /// @throws std::system_error naming the option, also if its value is not as long as `Value`.
    template <class Value = int>
    requires std::is_trivially_copyable_v<Value> Value getsockopt(int level, int option)
    const {
        Value value{};
        const std::size_t size = get_option(level, option, &value, sizeof value);
        if (size != sizeof value) wrong_size(level, option, sizeof value, size);
        return value;
    }

    /// The process at the other end of a connected Unix socket, as the kernel recorded it when that
    /// process connected or, for a server, when it began to listen.
    ///
    /// @throws std::system_error with `std::errc::operation_not_supported` for any other socket.
    PeerCredentials peer_credentials() const;
    /// Whether an operation of this object has failed because the peer reset the connection, or
    /// closed it while something was sent to it. This function only reports errors of earlier
    /// operations; peer_has_ended() asks the kernel.
    bool peer_gone() const noexcept { return channel_.peer_gone.load(); }
    /// Whether the peer has ended its side by now, or the connection is broken. Input that the peer
    /// sent before may still be there. Asks the kernel, and does not wait. A client that has only
    /// said that it sends nothing more (`shutdown(SHUT_WR)`) looks the same as one that has gone,
    /// but still takes an answer.
    bool peer_has_ended() const;
    /// @}

    /// @name For derived parts of the library
    /// @{

    /// Sets the writer that holds back output for this socket. It is flushed before the socket
    /// waits for input or sends anything else. Not owned; null for none.
    void set_corked(detail::Corked* corked) noexcept { corked_ = corked; }
    /// The writer that set_corked() has set.
    detail::Corked* corked() const noexcept { return corked_; }
    /// What carries the bytes.
    detail::Channel& channel() noexcept { return channel_; }
    /// The same.
    const detail::Channel& channel() const noexcept { return channel_; }
    /// @}

  private:
    // Every byte that is received or sent passes these two, and the ByteFilter of the channel if
    // there is one.
    std::ptrdiff_t receive_some(char* data, std::size_t size, int flags, bool partial = false);
    std::ptrdiff_t send_some(std::string_view data, int flags);

    /// Sends from the address that `arrival` names or, if it is null, from the address that the
    /// kernel chooses.
    void send_datagram(std::string_view data, const Address& address,
                       const detail::Arrival* arrival);
    /// `behind` is the writer that held `data` back, and whose output is not to be sent first.
    std::size_t transmit(std::string_view data, const detail::Corked* behind = nullptr);
    std::size_t send_by_reading(int file, std::size_t offset, std::size_t count);

    std::size_t receive_all(std::span<char> buffer, std::size_t received, detail::TimePoint until);

    void set_option(int level, int option, const void* value, std::size_t size, const char* name);
    std::size_t get_option(int level, int option, void* value, std::size_t size) const;
    void set_of_each_version(int value, int option4, int option6, const char* name);
    void change_membership(bool joins, const MulticastGroup& group);
    [[noreturn]] static void wrong_size(int level, int option, std::size_t expected,
                                        std::size_t actual);

    // Waiting for input without a buffer.
    bool may_have_input();
    void wait_for_input(bool partial = false);

    void flush_corked() {
        if (corked_ != nullptr) corked_->flush_before_send();
    }
    void flush_before_wait() {
        if (corked_ != nullptr) corked_->flush_before_wait();
    }
    void uncork() noexcept;

    friend class BufferedReader;
    friend class BufferedWriter;
    friend class ReplyPath;
    friend class detail::RelaySide;
    friend detail::ConnectionHandle& detail::record_of(Socket& request);

    detail::Channel channel_;
    detail::Corked* corked_ = nullptr;
};

/// What Socket::recv_fds() received.
struct ReceivedFds {
    /// The bytes.
    std::string data;
    /// The received descriptors, owned by these objects and close-on-exec. Use detach() to take out
    /// a descriptor that is not a socket, such as that of a file.
    std::vector<Socket> descriptors;
    /// Whether more data or descriptors came than there was room for.
    bool truncated = false;
};

/// Connects to a server. If the address is a host name, each of its addresses is tried in turn. A
/// Unix datagram client is bound to a name of its own, so that the server can answer. May be called
/// from any thread or fiber.
///
/// @throws std::system_error naming the address, with the error of the last attempt; TimeoutError.
///
/// Mirrors `socket.create_connection`, for every family and type.
SOCKETSERVER_EXPORT Socket create_connection(const Address& address,
                                             SocketType type = SocketType::stream,
                                             std::optional<std::chrono::nanoseconds> timeout = {});

}  // namespace socketserver
