// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

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
/// (max_accept_rate) and a share (max_connections_per_address). A plain value: the record of the
/// request has it, from when the request was accepted until RequestTable::end() gives it back.
/// Before there is a record it is a NewPlace.
struct SOCKETSERVER_EXPORT Place {
    /// Takes a share, as soon as the address of the client is known, or says in `refused` that
    /// there is none. The address must outlive the place. Limits::take() takes the rest.
    ///
    /// @throws std::bad_alloc
    void take_share(RequestTable& from, const Address& client_address);
    /// Gives back the share alone. To be called only if there is one.
    void give_back_share() noexcept;
    /// Gives everything back, and wakes the loop if it waits for room. To be called only if there
    /// is a table.
    void give_back() noexcept;

    RequestTable* table = nullptr;  ///< where it was taken; null if there is nothing to give back
    Room room = Room::none;
    bool has_turn = false;              ///< a turn is used up when a request has been accepted
    const Address* share_of = nullptr;  ///< null: no share
    /// Why the client that has this place is to be refused; no value if it is not.
    std::optional<RefuseCause> refused{};
};

/// A place that was taken for a request which may not come. The destructor gives back what no
/// record has taken over.
struct NewPlace : Place {
    NewPlace() noexcept = default;
    NewPlace(const NewPlace&) = delete;
    NewPlace& operator=(const NewPlace&) = delete;
    ~NewPlace() {
        if (table != nullptr) give_back();
    }
};

}  // namespace socketserver::detail
