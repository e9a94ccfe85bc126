// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>

#include "policy/fibers/prefetch.hpp"
#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

struct Fiber;
class Registrations;
class Scheduler;

/// What is known of the input of a descriptor. The only place that knows it.
enum class Readiness : unsigned char {
    unknown,    ///< reported, and since then used by somebody
    ready,      ///< reported
    exhausted,  ///< an operation found nothing, and nothing was reported since
};

/// One direction of a descriptor in an epoll set of a scheduler. Lives in memory that is never
/// given back while the scheduler lives: the kernel may report a descriptor that was closed, if a
/// forked child still has it. `generation` tells such a report.
///
/// Input is reported at each edge. Output is asked for anew by each wait (EPOLLONESHOT): otherwise
/// a Unix socket would report each time the peer reads.
struct alignas(cache_line) FdRecord final : Registration {
    void forget(bool stays_open) noexcept override;

    /// What epoll carries: the address, and the generation in the bits that no address has.
    std::uint64_t tag() const noexcept {
        return reinterpret_cast<std::uintptr_t>(this) | std::uint64_t{generation} << address_bits;
    }
    /// Null: it stands for another use of the record, or for none.
    static FdRecord* of_tag(std::uint64_t tag) noexcept {
        FdRecord* record = at(tag);
        return record != nullptr && record->generation == tag >> address_bits ? record : nullptr;
    }
    /// Whatever it is used for now.
    static FdRecord* at(std::uint64_t tag) noexcept {
        return reinterpret_cast<FdRecord*>(tag & ((std::uint64_t{1} << address_bits) - 1));
    }
    static constexpr int address_bits = 48;

    Registrations* owner = nullptr;
    Fiber* waiting = nullptr;
    FdRecord* next = nullptr;                ///< in a list of those that are not used
    const Connection* connection = nullptr;  ///< only to fetch it ahead: it may have ended
    int fd = -1;
    std::uint16_t generation = 0;
    Direction direction = Direction::read;
    Readiness input = Readiness::unknown;
    /// End of stream, an error or urgent data was reported: a short read tells nothing any more.
    bool read_to_the_end = false;
};

/// The records of one scheduler, and the two epoll sets that they stand in. An epoll set takes each
/// descriptor once: with one set for each direction, who receives and who sends register apart,
/// each with a scheduler of its own if need be.
///
/// Those of sockets that outlive the scheduler, and are closed by whatever thread, keep the object
/// alive: it deletes itself with the last of them.
///
/// Thread safety: forget() from any thread, the rest from the scheduler's.
class Registrations {
  public:
    /// Of a scheduler that lives until close().
    explicit Registrations(Scheduler& scheduler);
    Registrations(const Registrations&) = delete;
    Registrations& operator=(const Registrations&) = delete;

    FdRecord& take(int fd, Direction direction);
    void give_back(FdRecord& record) noexcept;
    /// By any thread: ends the use of the record, and the wait of whoever waits for it.
    void forget(FdRecord& record, bool stays_open) noexcept;
    /// Takes in what was given back from elsewhere.
    void collect() noexcept {
        if (has_foreign_.load(std::memory_order_relaxed)) collect_foreign();
    }
    /// The scheduler goes.
    void close() noexcept;

  private:
    ~Registrations() = default;
    void collect_foreign() noexcept;
    void forget_here(FdRecord& record) noexcept;

    /// A forked child shares the epoll sets: what it took out of them, the parent would miss.
    bool is_in_child() const noexcept;

    Scheduler& scheduler_;
    const int process_;
    std::deque<FdRecord> all_;
    FdRecord* unused_ = nullptr;
    std::size_t used_ = 0;

    std::mutex mutex_;
    FdRecord* foreign_ = nullptr;
    std::atomic<bool> has_foreign_{false};
    bool closed_ = false;
};

}  // namespace socketserver::detail
