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

/// What Connections::list() tells of one of them.
struct MemberInfo {
    std::uint64_t id = 0;                         ///< of its Membership; never used again
    Address client_address;                       ///< as the Membership was told
    std::chrono::steady_clock::time_point since;  ///< when it entered
    std::size_t waiting = 0;                      ///< bytes that it has not taken yet
};

/// Live connections that can be sent to, listed and closed by others than their handlers: by other
/// handlers, by hooks of the server (service_actions(), say), by any thread. A handler enters by
/// making a Membership, which leaves as it goes.
///
/// Nothing here waits: what is sent to a connection waits until its own handler, which is told by
/// select(), has written it. So a client that reads slowly holds up nobody, and no lock is held
/// while anything is written. A client for which more waits than `most_waiting` is broken off.
///
/// In children of ForkingMixIn and workers of PreforkMixIn there are the connections of that
/// process.
///
/// Thread safety: all members may be called from any thread and fiber. The object must outlive the
/// memberships: it stands above the server.
///
/// Python has no counterpart; programs keep a `set` of their handlers, with a lock.
class SOCKETSERVER_EXPORT Connections {
  public:
    /// 1 MiB.
    static constexpr std::size_t default_most_waiting = std::size_t{1} << 20;

    /// `most_waiting` is in bytes, for each of them.
    explicit Connections(std::size_t most_waiting = default_most_waiting) noexcept
        : most_waiting_{most_waiting} {}
    Connections(const Connections&) = delete;
    Connections& operator=(const Connections&) = delete;

    /// Sends to all, except to the handler that speaks. Returns to how many.
    std::size_t broadcast(std::string_view data, const Membership* except = nullptr);
    /// Sends to one. False: it is not there any more.
    bool send(std::uint64_t id, std::string_view data);

    /// Tells the handler of a connection to end, when it has written what waits. False: it is not
    /// there any more.
    bool close(std::uint64_t id);
    /// The same for all, and for every one that enters from now on.
    void close_all();

    /// How many there are.
    std::size_t size() const;
    /// In the order in which they have entered.
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

/// The place of one connection among the Connections, made in its handler. Pass it to select(): it
/// is ready when something waits to be written, or the handler is to end.
///
///     Membership me{room, connection(), client_address()};
///     for (;;) {
///         const auto ready = select({rfile(), me});
///         if (ready[1] && !me.deliver(wfile())) return;
///         if (ready[0]) ...
///     }
///
/// Thread safety: of the handler's thread or fiber.
class SOCKETSERVER_EXPORT Membership {
  public:
    /// @param connection must outlive the object, and is not moved meanwhile.
    Membership(Connections& all, Socket& connection, Address client_address);
    Membership(const Membership&) = delete;
    Membership& operator=(const Membership&) = delete;
    ~Membership();

    /// What Connections calls it; never used again.
    std::uint64_t id() const noexcept { return id_; }
    /// Writes what waits, and may wait for the client; nobody else waits for that. False: the
    /// handler is to end.
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
    // Under the lock of all.
    std::vector<std::shared_ptr<const std::string>> messages_;
    std::size_t waiting_ = 0;
    bool is_closed_ = false;
    detail::WatchList watches_;
};

}  // namespace socketserver
