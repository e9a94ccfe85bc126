// SPDX-License-Identifier: MIT
// What is transferred, as the mode has it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "../common/files.hpp"

namespace tftp {

/// A file that is read.
class Source {
  public:
    /// @throws Refusal if there is no such file below the root, or it may not be read.
    Source(const apps::Root& root, const std::string& name, bool is_netascii);

    /// How many bytes are sent; nothing if only reading the file would tell.
    std::optional<std::uint64_t> size() const;
    /// The next bytes, as they are sent; fewer than `size` only at the end.
    ///
    /// @throws Refusal
    std::string read(std::size_t size);

  private:
    void read_more(std::size_t size);

    apps::File file_;
    bool is_netascii_;
    bool is_at_end_ = false;
    std::string waiting_;
};

/// A file that is written. It appears below its name when it is complete; without commit() nothing
/// is left of it.
class Sink {
  public:
    /// @throws Refusal if it may not be written.
    Sink(const apps::Root& root, const std::string& name, bool is_netascii, bool may_replace,
         std::uint64_t most);
    Sink(const Sink&) = delete;
    Sink& operator=(const Sink&) = delete;
    ~Sink();

    /// @throws Refusal if the file becomes too large, or the disk is full.
    void write(std::string_view data);
    /// @throws Refusal if the name was taken meanwhile.
    void commit();

  private:
    std::string decoded(std::string_view data);

    apps::File folder_, file_;
    std::string name_, temporary_;
    bool is_netascii_, may_replace_;
    bool after_return_ = false;
    std::uint64_t left_;
};

}  // namespace tftp
