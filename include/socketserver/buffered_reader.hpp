// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <iterator>
#include <span>
#include <string>
#include <string_view>

#include "socketserver/detail/export.hpp"

namespace socketserver {

class Socket;

/// Reads lines, or counted bytes, from a Socket or from memory.
///
/// Views that it returns point into its buffer and are valid until the next call on it. An end of
/// stream is an empty result, never an exception.
///
/// Thread safety: distinct objects are independent; one object needs a lock. The socket, or the
/// memory, must outlive the reader.
///
/// Memory: there is a buffer only while it holds data. It grows up to the line limit, beyond which
/// readline() throws. read() without a size has no limit.
///
/// Mirrors `io.BufferedReader`, which Python's `rfile` is.
class SOCKETSERVER_EXPORT BufferedReader {
  public:
    /// The default size of the buffer: `io.DEFAULT_BUFFER_SIZE`.
    static constexpr std::size_t default_buffer_size = 8192;
    /// The default limit of readline(): the longest line that it takes, its end included.
    static constexpr std::size_t default_line_limit = 65536;

    /// @param buffer_size a hint; 0 reads not one byte more than was asked for, so that the caller
    /// may also receive from the socket directly (`rbufsize = 0` in Python).
    explicit BufferedReader(Socket& source, std::size_t buffer_size = default_buffer_size);
    /// Reads what `data` views; the bytes are not copied.
    explicit BufferedReader(std::string_view data) noexcept;
    BufferedReader(const BufferedReader&) = delete;
    BufferedReader& operator=(const BufferedReader&) = delete;
    ~BufferedReader();

    /// The next line with its '\n'; the last one may have none; empty at the end of stream.
    ///
    /// @throws LineTooLong if no '\n' comes within `limit` bytes; nothing is lost then.
    std::string_view readline(std::size_t limit = default_line_limit);

    /// Everything up to the end of stream.
    std::string read();
    /// `size` bytes; fewer only at the end of stream.
    std::string read(std::size_t size);
    /// Between one and `size` bytes, with at most one receive; empty at the end of stream.
    std::string read1(std::size_t size = default_buffer_size);
    /// As read1(), into memory of the caller. Returns how many bytes; 0 at the end of stream.
    std::size_t readinto(std::span<char> buffer);
    /// What is in the buffer, without taking it; receives once if it is empty. Empty at the end of
    /// stream.
    std::string_view peek();

    /// Lets `for (std::string_view line : reader)` run over the lines up to the end of stream.
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = std::string_view;
        using difference_type = std::ptrdiff_t;
        using pointer = const std::string_view*;
        using reference = std::string_view;

        explicit iterator(BufferedReader& reader) : reader_{&reader} { ++*this; }
        std::string_view operator*() const noexcept { return line_; }
        iterator& operator++() {
            line_ = reader_->readline();
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
            return it.line_.empty();
        }

      private:
        BufferedReader* reader_;
        std::string_view line_;
    };
    iterator begin() { return iterator{*this}; }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    std::size_t buffered() const noexcept { return end_ - begin_; }
    std::string_view take(std::size_t size) noexcept;
    std::string_view take_line(std::size_t from, std::size_t limit) noexcept;
    std::string_view receive_line(std::size_t limit);
    bool fill(std::size_t most);
    std::size_t receive(std::size_t most);
    void make_room(std::size_t most);
    void release() noexcept;

    Socket* source_ = nullptr;    // null: memory
    const char* data_ = nullptr;  // the memory, or buffer_
    char* buffer_ = nullptr;      // of BufferPool; null while nothing is buffered
    std::size_t capacity_;        // of the buffer, or of the next one
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    bool unbuffered_ = false;
    bool filled_ = false;  // by the last receive
};

}  // namespace socketserver
