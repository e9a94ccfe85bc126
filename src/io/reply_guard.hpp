// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "io/origin.hpp"
#include "os/shared_memory.hpp"
#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/os/clock.hpp"

namespace socketserver::detail {

/// Keeps a datagram server from sending much to somebody who has not asked: whoever names a false
/// source in a datagram makes the server reply to a victim. It knows who has sent something, how
/// many bytes may be sent there, and how often each network was sent something.
///
/// In memory of a fixed size, which the processes of a server share; what was used least recently
/// makes room. Without locks: a process that dies leaves nothing locked. Two that use one entry at
/// the same time may be wrong by a datagram.
///
/// Where an entry is, depends on a secret: nobody can choose addresses that push out a certain one.
///
/// Thread safety: all members may be called from any thread of any of the processes.
class SOCKETSERVER_EXPORT ReplyGuard {
  public:
    /// For how long a source that has proved itself is not limited.
    static constexpr std::chrono::minutes proof_lasts{10};
    /// For how long it is remembered that a source was pushed out, and may have been anybody.
    static constexpr std::chrono::seconds doubt_lasts{10};
    static constexpr std::size_t most_sources = 65536;
    static constexpr std::size_t most_networks = 16384;

    /// See ServerOptions::max_amplification and max_reply_rate.
    ///
    /// @throws std::system_error if there is no memory.
    ReplyGuard(std::optional<std::size_t> max_amplification, std::optional<std::size_t> max_rate);

    void note_received(const Address& from, std::size_t bytes, TimePoint now) noexcept;
    void note_proved(const Address& source, TimePoint now) noexcept;
    /// Takes what is sent from what may be. Always true for who has not sent anything: that is no
    /// reply.
    bool may_send(const Address& to, std::size_t bytes, TimePoint now) noexcept;

  private:
    using Time = std::atomic<std::int64_t>;  // as time_since_epoch() of Clock; 0: long ago
    static constexpr std::size_t ways = 4;

    struct Source {
        std::atomic<std::uint64_t> key{0};
        Time used_at{0};
        std::atomic<std::int64_t> credit{0};  ///< bytes
        Time proved_until{0};
    };
    struct SourceSet {
        std::array<Source, ways> entries;
        Time in_doubt_until{0};
    };
    struct Network {
        std::atomic<std::uint64_t> key{0};
        Time used_at{0};
        Time full_at{0};  ///< when as many may be sent at once as ever
    };
    struct NetworkSet {
        std::array<Network, ways> entries;
    };
    struct Memory {
        std::array<SourceSet, most_sources / ways> sources;
        std::array<NetworkSet, most_networks / ways> networks;
    };

    std::uint64_t key_of(const Origin& origin) const noexcept;
    SourceSet& set_of(std::uint64_t key) noexcept;
    Source* take_source(std::uint64_t key, std::int64_t now) noexcept;
    static bool take_credit(Source& source, std::size_t bytes) noexcept;
    bool take_turn(const Origin& origin, std::int64_t now) noexcept;

    const std::optional<std::size_t> max_amplification_;
    const std::optional<std::size_t> max_rate_;
    std::uint64_t secret_ = 0;
    SharedMemory<Memory> memory_{"map what a server may reply"};
};

}  // namespace socketserver::detail
