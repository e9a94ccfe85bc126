// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

/// A timer; its owner holds the object.
struct Timer {
    static constexpr std::size_t none = static_cast<std::size_t>(-1);
    std::size_t position = none;  ///< in the heap
};

/// Timers ordered by time, in a binary heap. The time of a timer may be later than the time in the
/// heap. So an idle timeout that each request moves to a later time costs nothing in the heap until
/// the earlier time has come.
///
/// Only make_room() allocates memory. A fiber that begins to wait must not fail, because others may
/// know of its wait already.
class TimerQueue {
  public:
    /// Reserves memory for at most this many timers.
    /// @throws std::bad_alloc if there is no memory for them
    void make_room(std::size_t timers) {
        if (heap_.capacity() < timers) heap_.reserve(std::max(timers, 2 * heap_.capacity()));
    }

    bool empty() const noexcept { return heap_.empty(); }
    TimePoint earliest() const noexcept { return heap_.front().time; }
    Timer& first() const noexcept { return *heap_.front().timer; }

    /// Makes the heap check the timer at `time` or earlier.
    void ensure(Timer& timer, TimePoint time) noexcept {
        if (timer.position == Timer::none) {
            heap_.push_back({time, &timer});
            timer.position = heap_.size() - 1;
        } else if (heap_[timer.position].time <= time) {
            return;
        } else {
            heap_[timer.position].time = time;
        }
        sift_up(timer.position);
    }

    /// Postpones the first timer.
    void put_off_first(TimePoint time) noexcept {
        heap_.front().time = time;
        sift_down(0);
    }

    void remove(Timer& timer) noexcept {
        const std::size_t position = std::exchange(timer.position, Timer::none);
        if (position == Timer::none) return;
        const Entry last = heap_.back();
        heap_.pop_back();
        if (position == heap_.size()) return;
        put(position, last);
        sift_down(position);
        sift_up(position);
    }

  private:
    struct Entry {
        TimePoint time;
        Timer* timer;
    };

    void put(std::size_t position, Entry entry) noexcept {
        heap_[position] = entry;
        entry.timer->position = position;
    }

    void sift_up(std::size_t position) noexcept {
        const Entry entry = heap_[position];
        while (position > 0) {
            const std::size_t parent = (position - 1) / 2;
            if (heap_[parent].time <= entry.time) break;
            put(position, heap_[parent]);
            position = parent;
        }
        put(position, entry);
    }

    void sift_down(std::size_t position) noexcept {
        const Entry entry = heap_[position];
        for (std::size_t child = 2 * position + 1; child < heap_.size(); child = 2 * position + 1) {
            if (child + 1 < heap_.size() && heap_[child + 1].time < heap_[child].time) ++child;
            if (entry.time <= heap_[child].time) break;
            put(position, heap_[child]);
            position = child;
        }
        put(position, entry);
    }

    std::vector<Entry> heap_;
};

}  // namespace socketserver::detail
