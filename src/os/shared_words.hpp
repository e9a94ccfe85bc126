// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "os/platform.hpp"

namespace socketserver::detail {

/// At most `most` words in memory that processes share. They are replaced all at once, and read
/// without a lock: a reader notices when they change meanwhile. A process may die at any moment.
///
/// Thread safety: all members may be called from any thread of any of the processes.
template <std::size_t most, class Platform = detail::Platform>
class SharedWords {
  public:
    using Words = std::vector<std::uint64_t>;

    /// Grows with each write(). It is odd while one is under way.
    std::uint64_t version() const noexcept { return version_.load(); }

    /// @pre at most `most` of them.
    /// @return the version that they are, which is even.
    std::uint64_t write(std::span<const std::uint64_t> words) noexcept {
        mutex_.lock([] {});
        const std::uint64_t before = version_.load();
        const std::uint64_t writing = before + 1 + before % 2;  // odd before: that writer has died
        version_.store(writing);
        for (std::size_t i = 0; i < words.size(); ++i) words_[i].store(words[i]);
        count_.store(words.size());
        version_.store(writing + 1);
        mutex_.unlock();
        return writing + 1;
    }

    /// Nothing while they are being written, or if a process died while it wrote them.
    std::optional<Words> read(std::uint64_t& version) const {
        version = version_.load();
        if (version % 2 == 1) return {};
        const std::uint64_t count = count_.load();
        Words read(std::min(static_cast<std::size_t>(count), most));
        for (std::size_t i = 0; i < read.size(); ++i) read[i] = words_[i].load();
        if (version_.load() != version) return {};
        return read;
    }

    /// Where the words lie, for somebody who knows that no process uses them any more.
    auto& storage() noexcept { return words_; }

  private:
    typename Platform::SharedMutex mutex_;
    typename Platform::template Atomic<std::uint64_t> version_{0};
    typename Platform::template Atomic<std::uint64_t> count_{0};
    std::array<typename Platform::template Atomic<std::uint64_t>, most> words_{};
};

}  // namespace socketserver::detail
