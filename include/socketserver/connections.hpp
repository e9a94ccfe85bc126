// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/watch.hpp"

namespace socketserver {

class BufferedWriter;
class Membership;
class Socket;

/// What Connections::list() tells of one connection.
struct MemberInfo {
    std::uint64_t id = 0;                         ///< of its Membership; never used again
    Address client_address;                       ///< as the Membership was told
    std::chrono::steady_clock::time_point since;  ///< when it entered
    std::size_t waiting = 0;                      ///< bytes that it has not taken yet
};

/// A set of live connections. Any code, and not only the handler of a connection, can send to them,
/// list them and close them: other handlers, hooks of the server (service_actions(), for example),
/// any thread. A handler adds its connection by making a Membership; the destructor of the
/// Membership removes it.
///
/// No function of this class waits. Data that is sent to a connection is queued until its own
/// handler, which select() wakes, has written it. So a client that reads slowly delays nobody else,
/// and no lock is held while anything is written. A connection with more than `most_waiting` bytes
/// in its queue is broken off.
///
/// In a child of ForkingMixIn or a worker of PreforkMixIn the set contains the connections of that
/// process only.
///
/// Thread safety: all members may be called from any thread and fiber. The object must outlive the
/// memberships, so a program declares it before the server.
///
/// Python has no counterpart; programs keep a `set` of their handlers, with a lock.
class SOCKETSERVER_EXPORT Connections {
  public:
    /// How many bytes may wait for one connection by default: 1 MiB.
    static constexpr std::size_t default_most_waiting = std::size_t{1} << 20;

    /// @param most_waiting how many bytes may wait for one connection.
    explicit Connections(std::size_t most_waiting = default_most_waiting) noexcept
        : most_waiting_{most_waiting} {}
    Connections(const Connections&) = delete;
    Connections& operator=(const Connections&) = delete;

    /// Sends to all connections, except to that of the member `except`. Returns the number of
    /// connections.
    std::size_t broadcast(std::string_view data, const Membership* except = nullptr);
    /// Sends to one connection. Returns false if it is not in the set any more.
    bool send(std::uint64_t id, std::string_view data);

    /// Tells the handler of a connection to end as soon as it has written its queue. Returns false
    /// if the connection is not in the set any more.
    bool close(std::uint64_t id);
    /// Does the same for all connections, and for every connection that is added later.
    void close_all();

    /// How many connections the set contains.
    std::size_t size() const;
    /// The connections, in the order in which they were added.
    std::vector<MemberInfo> list() const;

  private:
    friend class Membership;

    Membership* find(std::uint64_t id) const;
    void put(Membership& member, const std::shared_ptr<const std::string>& data);

    const std::size_t most_waiting_;
    mutable std::mutex mutex_;  // of the list and of all members; nobody waits with it
    std::vector<Membership*> members_;
    std::uint64_t last_id_ = 0;
    bool is_closed_ = false;
};

/// The entry of one connection in a Connections, made by its handler. Pass it to select(): it is
/// ready when data waits to be written, or when the handler is to end.
///
///     Membership me{room, connection(), client_address()};
///     for (;;) {
///         const auto ready = select({rfile(), me});
///         if (ready[1] && !me.deliver(wfile())) return;
///         if (ready[0]) ...
///     }
///
/// Thread safety: only the handler's thread or fiber may use the object.
class SOCKETSERVER_EXPORT Membership {
  public:
    /// @param connection must outlive the object, and must not be moved meanwhile.
    Membership(Connections& all, Socket& connection, Address client_address);
    Membership(const Membership&) = delete;
    Membership& operator=(const Membership&) = delete;
    ~Membership();

    /// The number of the connection in its Connections. A number is never used again.
    std::uint64_t id() const noexcept { return id_; }
    /// Writes the data that is queued, and may wait for the client. Nobody else waits meanwhile.
    /// Returns false if the handler is to end.
    bool deliver(BufferedWriter& writer);

    /// @name For select()
    /// @{

    /// Begins to tell `watch` when it may be ready; returns whether it is already.
    bool begin_watch(detail::Watch& watch);
    /// Ends that.
    void end_watch(detail::Watch& watch) noexcept;
    /// @}

  private:
    friend class Connections;

    Connections& all_;
    Socket& connection_;
    const Address client_address_;
    const std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
    std::uint64_t id_ = 0;
    // The lock of `all` guards these.
    std::vector<std::shared_ptr<const std::string>> messages_;
    std::size_t waiting_ = 0;
    bool is_closed_ = false;
    detail::WatchList watches_;
};

}  // namespace socketserver
