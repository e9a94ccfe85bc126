// SPDX-License-Identifier: MIT
#pragma once

#include <sys/un.h>

#include <array>
#include <atomic>
#include <cstddef>

#include "socketserver/address.hpp"
#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

/// What a child that serves one request tells its parent of it, in memory that both have.
struct ChildOutcome {
    static constexpr unsigned char no_reason = 0xff;

    /// The CloseReason, as soon as the request has ended.
    std::atomic<unsigned char> reason;
    /// It was counted when it was refused.
    std::atomic<bool> is_refused;
    /// A header of the PROXY protocol has said who the client is,
    std::atomic<bool> is_announced;
    /// and the child has its share under the limits.
    std::atomic<bool> has_share;

    void clear() noexcept;
    void announce(const Address& client_address, bool takes_share) noexcept;
    /// @throws std::bad_alloc
    Address client_address() const;

  private:
    unsigned size_;
    std::array<char, sizeof(sockaddr_un)> address_;  // a sockaddr of any family that an Address has
};

/// Those of the children of one process. A page of it is had when it is used.
class ChildOutcomes {
  public:
    static constexpr std::size_t most = 4096;

    /// @throws std::system_error if there is no memory.
    ChildOutcomes();
    ChildOutcomes(const ChildOutcomes&) = delete;
    ChildOutcomes& operator=(const ChildOutcomes&) = delete;
    ~ChildOutcomes();

    ChildOutcome& at(std::size_t number) noexcept { return memory_[number]; }

  private:
    ChildOutcome* memory_;
};

}  // namespace socketserver::detail
