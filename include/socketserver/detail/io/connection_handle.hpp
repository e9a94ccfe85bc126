// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// What a server knows of one request, from accepting it until it has ended
/// (src/request/connection.hpp).
class Connection;

/// A counted reference to the record of a request. The request carries it along, wherever a policy
/// moves it. When the last handle goes, the request has ended: the server counts it and has room
/// for another one. So a policy or a handler cannot forget to end a request, nor end it twice.
///
/// Thread safety: an object is for one thread at a time; those of one record may be used, and go,
/// in several.
class SOCKETSERVER_EXPORT ConnectionHandle {
  public:
    ConnectionHandle() noexcept = default;
    /// Takes over the reference with which a record is made.
    explicit ConnectionHandle(Connection* made) noexcept : connection_{made} {}
    ConnectionHandle(const ConnectionHandle& other) noexcept : connection_{other.connection_} {
        if (connection_ != nullptr) share(*connection_);
    }
    ConnectionHandle(ConnectionHandle&& other) noexcept
        : connection_{std::exchange(other.connection_, nullptr)} {}
    ConnectionHandle& operator=(ConnectionHandle other) noexcept {
        std::swap(connection_, other.connection_);
        return *this;
    }
    ~ConnectionHandle() {
        if (connection_ != nullptr) release(*connection_);
    }

    Connection* get() const noexcept { return connection_; }
    Connection* operator->() const noexcept { return connection_; }
    Connection& operator*() const noexcept { return *connection_; }
    explicit operator bool() const noexcept { return connection_ != nullptr; }
    void reset() noexcept { *this = ConnectionHandle{}; }

  private:
    static void share(Connection& connection) noexcept;
    static void release(Connection& connection) noexcept;

    Connection* connection_ = nullptr;
};

/// Called when the descriptor was given away, or when a child has it: this process can no longer
/// break the connection off. Does nothing if `connection` is null.
SOCKETSERVER_EXPORT void disown_descriptor(Connection* connection) noexcept;

}  // namespace socketserver::detail
