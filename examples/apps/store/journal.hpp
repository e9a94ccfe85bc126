// SPDX-License-Identifier: MIT
// The append-only file: every change, as a command, in the order in which they were made.
#pragma once

#include <socketserver/fiber_sync.hpp>

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace store {

namespace ss = socketserver;

/// What is appended is written together with what other clients append at the same time: a group
/// commit. Who waits for commit() knows that a kill of the process loses nothing of it, and with
/// `is_synced` a power failure neither.
class Journal {
  public:
    /// Opens or makes the file. An empty path: nothing is kept.
    ///
    /// @throws std::system_error
    Journal(const std::string& path, bool is_synced);
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;
    ~Journal();

    bool is_open() const { return file_ != -1; }
    /// Everything in the file; cut() then removes what follows the last whole command.
    std::string read() const;
    void cut(std::size_t size);

    /// Takes changes; returns the position behind them, for commit(). Does not wait.
    std::uint64_t append(std::string_view changes);
    /// Waits until everything before a position is written.
    ///
    /// @throws std::system_error if that fails: the changes are kept for the next attempt.
    void commit(std::uint64_t position);

  private:
    void write_group(std::unique_lock<ss::Mutex>& lock);

    int file_ = -1;
    bool is_synced_;
    std::uint64_t size_ = 0;  // of the file, where it is whole

    std::mutex pending_mutex_;  // of the next two
    std::string pending_;
    std::uint64_t appended_ = 0;

    ss::Mutex mutex_;  // of the next two
    std::uint64_t written_ = 0;
    bool is_writing_ = false;
    ss::ConditionVariable group_written_;
};

}  // namespace store
