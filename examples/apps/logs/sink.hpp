// SPDX-License-Identifier: MIT
// Files that do not grow for ever.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string_view>

namespace logs {

/// Appends lines to a file. When it would become larger than `most`, it is renamed to "name.1",
/// what was called so to "name.2", and so on; the oldest of `kept` is removed. May be used from any
/// thread.
class Sink {
  public:
    /// @throws std::system_error
    Sink(std::filesystem::path path, std::uint64_t most, unsigned kept);
    Sink(const Sink&) = delete;
    Sink& operator=(const Sink&) = delete;
    ~Sink();

    /// The line is in the file, as far as this machine goes, when the call returns.
    ///
    /// @throws std::system_error if it cannot be written.
    void write(std::string_view line);

  private:
    void open();
    void rotate();
    std::filesystem::path numbered(unsigned number) const;

    const std::filesystem::path path_;
    const std::uint64_t most_;
    const unsigned kept_;
    std::mutex mutex_;
    int file_ = -1;
    std::uint64_t size_ = 0;
};

}  // namespace logs
