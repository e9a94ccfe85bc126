// SPDX-License-Identifier: MIT
#pragma once

#include <sys/un.h>

#include <array>
#include <atomic>
#include <cstddef>

#include "socketserver/address.hpp"
#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

/// What a child that serves one request reports to its parent about it, in memory that both share.
struct ChildOutcome {
    static constexpr unsigned char no_reason = 0xff;

    /// The CloseReason, set when the request has ended.
    std::atomic<unsigned char> reason;
    /// Whether the request was refused, and counted as such.
    std::atomic<bool> is_refused;
    /// Whether a header of the PROXY protocol has named the client.
    std::atomic<bool> is_announced;
    /// Whether the child has taken the client's share under the limits.
    std::atomic<bool> has_share;

    void clear() noexcept;
    void announce(const Address& client_address, bool takes_share) noexcept;
    /// @throws std::bad_alloc
    Address client_address() const;

  private:
    unsigned size_;
    std::array<char, sizeof(sockaddr_un)> address_;  // a sockaddr of any family that an Address has
};

/// The outcomes of the children of one process. The kernel provides each page when it is first
/// used.
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
