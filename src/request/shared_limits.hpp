// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "io/origin.hpp"
#include "os/shared_memory.hpp"
#include "request/shared_counters.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

/// What the worker processes of one server have taken of its limits: the sum, and the part of each
/// worker. When a worker has died, the parent gives its part back.
///
/// It lies in memory that the workers share, under a robust mutex, which survives the death of its
/// holder.
///
/// Thread safety: all members may be called from any thread of any of the processes.
class SOCKETSERVER_EXPORT SharedLimits {
  public:
    /// Workers are numbered as in SharedCounters; a worker for which there is no number would have
    /// the number after the last. The number after that one belongs to the process that is no
    /// worker, together with its children that serve one request each.
    static constexpr std::size_t parent = SharedCounters::most_workers + 1;
    static constexpr std::size_t workers = parent + 1;

    /// @throws std::system_error if there is no memory.
    SharedLimits();
    SharedLimits(const SharedLimits&) = delete;
    SharedLimits& operator=(const SharedLimits&) = delete;
    ~SharedLimits();

    bool take_room(std::size_t worker, std::size_t most) noexcept;
    void give_back_room(std::size_t worker) noexcept;
    /// How much room all processes have taken.
    std::size_t taken() noexcept;

    /// Returns false if the limit is reached, or if there is no memory for one more origin (65,535
    /// pairs of worker and origin).
    bool take_share(std::size_t worker, const Origin& origin, std::size_t most) noexcept;
    void give_back_share(std::size_t worker, const Origin& origin) noexcept;

    bool take_turn(TimePoint now, Clock::duration interval, Clock::duration burst) noexcept;
    void give_back_turn(Clock::duration interval) noexcept;
    TimePoint next_turn() noexcept;

    /// Called in the parent when the worker has ended.
    void give_back_all(std::size_t worker) noexcept;

  private:
    struct Share;
    struct Memory;
    class Lock;

    void repair() noexcept;

    SharedMemory<Memory> memory_;
};

}  // namespace socketserver::detail
