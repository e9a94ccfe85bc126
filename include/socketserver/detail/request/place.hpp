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

/// Where the room of a request is counted: in this process, or by all workers together. What is
/// taken there is given back there, whatever limits are set meanwhile.
enum class Room : unsigned char { none, own, shared };

/// What a request has of the limits in ServerOptions: room (max_connections), a turn
/// (max_accept_rate) and a share (max_connections_per_address). Whoever owns the object has them;
/// its destructor gives them back, and wakes the loop if it waits for room. A turn is used up when
/// a request has been accepted.
class SOCKETSERVER_EXPORT Place {
  public:
    /// Nothing yet.
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

    /// Takes room and a turn. If one of them is not to be had, says which by `refused`.
    void take(RequestTable& table) noexcept;
    /// The same with a share, when the address of the client is known. That outlives the place.
    ///
    /// @throws std::bad_alloc
    void take_share(RequestTable& table, const Address& client_address);
    /// A child process has taken the share, and has told of it.
    void adopt_share(RequestTable& table, const Address& client_address) noexcept {
        table_ = &table;
        share_of_ = &client_address;
    }
    /// A request has been accepted.
    void use_turn() noexcept { has_turn_ = false; }
    /// Gives back the share alone.
    void give_back_share() noexcept;
    /// Gives everything back.
    void give_back() noexcept;
    /// In a child process: what the place stands for is the parent's.
    void leave_to_parent() noexcept { table_ = nullptr; }

    /// Why the client that comes with this place is to be refused.
    std::optional<RefuseCause> refused{};

  private:
    RequestTable* table_ = nullptr;  // null: there is nothing to give back
    Room room_ = Room::none;
    bool has_turn_ = false;
    const Address* share_of_ = nullptr;
};

}  // namespace socketserver::detail
