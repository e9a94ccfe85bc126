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

struct ChannelWait;
struct Fiber;
class Registrations;
class Scheduler;

/// What is known about the input of a descriptor. It is kept only here.
enum class Readiness : unsigned char {
    unknown,    ///< reported, and used since then
    ready,      ///< reported
    exhausted,  ///< an operation found nothing, and nothing was reported since then
};

/// One direction of a descriptor in an epoll set of a scheduler. Its memory is not freed while the
/// scheduler exists, because the kernel may report a descriptor that was closed, if a forked child
/// still has it. Such a report is recognised by `generation`.
///
/// Input is reported at each edge. Each wait for output asks the kernel again (EPOLLONESHOT),
/// because otherwise a Unix socket would report each time the peer reads.
struct alignas(cache_line) FdRecord final : Registration {
    /// Ends the use of the record, and the wait of a fiber that waits for it. May be called from
    /// any thread.
    void forget(bool stays_open) noexcept override;

    /// The value that epoll reports: the address, with the generation in the bits that addresses do
    /// not use. A report with another tag was for an earlier use of the record.
    std::uint64_t tag() const noexcept {
        return reinterpret_cast<std::uintptr_t>(this) | std::uint64_t{generation} << address_bits;
    }
    /// The record of a tag, whatever it is used for now; null if the tag is of none.
    static FdRecord* at(std::uint64_t tag) noexcept {
        return reinterpret_cast<FdRecord*>(tag & ((std::uint64_t{1} << address_bits) - 1));
    }
    static constexpr int address_bits = 48;

    Registrations* owner = nullptr;
    Fiber* waiting = nullptr;
    ChannelWait* also_waiting = nullptr;  ///< the list of those that wait for other things as well
    FdRecord* next = nullptr;             ///< in the list of unused records
    const Connection* connection = nullptr;  ///< only for prefetching: it may have ended
    int fd = -1;
    std::uint16_t generation = 0;
    Direction direction = Direction::read;
    Readiness input = Readiness::unknown;
    /// Whether the end of the stream, an error or urgent data was reported. If so, a short read
    /// does not mean that there is no more input.
    bool read_to_the_end = false;
    /// Whether the end of the stream was reported, which is the last event there is.
    bool has_ended = false;
};

/// The records of one scheduler, and its two epoll sets. An epoll set takes each descriptor once.
/// With one set for each direction, a fiber that receives and another one that sends register
/// separately, and may belong to different schedulers.
///
/// Sockets may outlive the scheduler, and any thread may close them. Their records keep the object
/// alive; it deletes itself with the last of them.
///
/// Thread safety: records may be forgotten in any thread; the members are for the thread of the
/// scheduler.
class Registrations {
  public:
    /// @param scheduler must exist until close().
    explicit Registrations(Scheduler& scheduler);
    Registrations(const Registrations&) = delete;
    Registrations& operator=(const Registrations&) = delete;

    FdRecord& take(int fd, Direction direction);
    void give_back(FdRecord& record) noexcept;
    /// Whether other threads have returned records, which collect() takes back.
    bool has_foreign() const noexcept { return has_foreign_.load(std::memory_order_relaxed); }
    void collect() noexcept;
    /// Called when the scheduler is being destroyed.
    void close() noexcept;

  private:
    friend struct FdRecord;

    ~Registrations() = default;
    void forget_elsewhere(FdRecord& record, bool stays_open) noexcept;
    void forget_here(FdRecord& record) noexcept;

    /// Whether this process is a forked child. The child shares the epoll sets, and must not remove
    /// anything that the parent needs.
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
