// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <utility>

#include "socketserver/detail/export.hpp"
#include "socketserver/statistics.hpp"

namespace socketserver {
class Address;
}

namespace socketserver::detail {

class RequestTable;

/// Where the room of a request is counted: in this process, or in the memory that all workers
/// share. Room is given back where it was taken, even if the limits have changed meanwhile.
enum class Room : unsigned char { none, own, shared };

/// What a request has taken of the limits in ServerOptions: room (max_connections), a turn
/// (max_accept_rate) and a share (max_connections_per_address). The owner of the object has them.
/// The destructor gives them back, and wakes the loop if it waits for room. A turn is used up when
/// a request has been accepted.
class SOCKETSERVER_EXPORT Place {
  public:
    /// Holds nothing yet.
    Place() noexcept = default;
    Place(Place&& other) noexcept
        : table_{std::exchange(other.table_, nullptr)},
          room_{other.room_},
          has_turn_{other.has_turn_},
          share_of_{other.share_of_} {}
    Place& operator=(Place&&) = delete;
    ~Place() {
        if (table_ != nullptr) give_back();
    }

    /// Takes room and a turn. If the limit of one of them is reached, `refused` says which.
    void take(RequestTable& table) noexcept;
    /// The same for a share, as soon as the address of the client is known. The address must
    /// outlive the place.
    ///
    /// @throws std::bad_alloc
    void take_share(RequestTable& table, const Address& client_address);
    /// Takes over a share that a child process has taken and reported.
    void adopt_share(RequestTable& table, const Address& client_address) noexcept {
        table_ = &table;
        share_of_ = &client_address;
    }
    /// Called when a request has been accepted: its turn is used up.
    void use_turn() noexcept { has_turn_ = false; }
    /// Gives back the share alone.
    void give_back_share() noexcept;
    /// Gives everything back.
    void give_back() noexcept;
    /// Called in a child process: the parent will give everything back, not this process.
    void leave_to_parent() noexcept { table_ = nullptr; }

    /// Why the client that has this place is to be refused; no value if it is not.
    std::optional<RefuseCause> refused{};

  private:
    RequestTable* table_ = nullptr;  // null if there is nothing to give back
    Room room_ = Room::none;
    bool has_turn_ = false;
    const Address* share_of_ = nullptr;
};

}  // namespace socketserver::detail
