// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "socketserver/detail/export.hpp"
#include "socketserver/integers.hpp"

namespace socketserver {

class Socket;

namespace detail {
class RelaySide;
class Selection;
}  // namespace detail

/// A line without its end: see BufferedReader::next_line().
struct Line {
    /// The text without "\n" or "\r\n". It may be empty. It is valid until the next call on the
    /// reader.
    std::string_view text;
    /// Whether the line had an end. False only for text between the last end of a line and the end
    /// of the stream: the peer may have gone in the middle of that line.
    bool has_end = true;
};

/// Reads lines, or counted bytes, from a Socket or from memory.
///
/// The views that it returns point into its buffer and are valid until the next call on it. At the
/// end of the stream functions return an empty result. Only functions that are asked for an exact
/// number of bytes throw IncompleteReadError, because otherwise a caller could not tell a part of a
/// message from a whole one.
///
/// A timeout or another exception loses no data: the bytes that were received stay in the buffer.
///
/// Thread safety: distinct objects are independent. If several threads use one object, they need a
/// lock.
///
/// Ownership: the socket, or the memory, is not owned and must outlive the reader.
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

    /// @param buffer_size a hint. With 0 the reader never receives more bytes than it was asked
    /// for, so that the caller may also receive from the socket directly (`rbufsize = 0` in
    /// Python).
    explicit BufferedReader(Socket& source, std::size_t buffer_size = default_buffer_size);
    /// Reads from the memory that `data` views. The bytes are not copied.
    explicit BufferedReader(std::string_view data) noexcept;
    BufferedReader(const BufferedReader&) = delete;
    BufferedReader& operator=(const BufferedReader&) = delete;
    ~BufferedReader();

    /// Returns the next line with its '\n'. The last line may have none. Returns an empty view at
    /// the end of the stream.
    ///
    /// @throws LineTooLong if no '\n' comes within `limit` bytes; nothing is lost then.
    std::string_view readline(std::size_t limit = default_line_limit);

    /// Returns the next line without its end, which is "\n" or "\r\n". Returns nothing at the end
    /// of the stream.
    ///
    /// @throws LineTooLong as readline() does; `limit` counts the end of the line too.
    std::optional<Line> next_line(std::size_t limit = default_line_limit);

    /// Does what readline() does, with another end than '\n': returns the bytes up to and including
    /// the next `delimiter`. The last message may have no delimiter, which `ends_with()` tells.
    /// Returns an empty view at the end of the stream. A literal may contain zeros: "\0" is a
    /// delimiter of one byte. Mirrors `asyncio.StreamReader.readuntil`, which throws at the end of
    /// stream.
    ///
    /// @throws LineTooLong if no whole delimiter comes within `limit` bytes; nothing is lost then.
    /// @throws std::invalid_argument if `delimiter` is empty.
    std::string_view read_until(std::string_view delimiter, std::size_t limit = default_line_limit);
    /// The same with a literal.
    template <std::size_t size>
    std::string_view read_until(const char (&literal)[size],
                                std::size_t limit = default_line_limit) {
        return read_until(std::string_view{literal, size - 1}, limit);
    }
    /// An array that is no literal does not say where its text ends: pass a std::string_view.
    template <std::size_t size>
    std::string_view read_until(char (&array)[size],
                                std::size_t limit = default_line_limit) = delete;

    /// Reads exactly `size` bytes. Memory is allocated as the bytes come, so that a peer which
    /// announces much and sends little costs little memory. Mirrors
    /// `asyncio.StreamReader.readexactly`.
    ///
    /// @throws IncompleteReadError with what came, if the stream ends before.
    std::string read_exactly(std::size_t size);
    /// The same, into memory of the caller, which is filled.
    void read_exactly(std::span<char> buffer);
    /// Reads an integer of as many bytes as `T` has, in network order by default:
    /// `read_integer<std::uint16_t>()`.
    ///
    /// @throws IncompleteReadError if the stream ends before.
    template <packable_integer T>
    T read_integer(std::endian order = std::endian::big) {
        std::array<char, sizeof(T)> bytes;  // NOLINT(*-member-init): filled in the next line
        read_exactly(std::span<char>{bytes});
        return unpack_from<T>({bytes.data(), bytes.size()}, 0, order);
    }

    /// Reads everything up to the end of the stream.
    std::string read();
    /// Reads `size` bytes; fewer only at the end of the stream.
    std::string read(std::size_t size);
    /// Reads between one and `size` bytes, with at most one receive. Returns an empty string at the
    /// end of the stream.
    std::string read1(std::size_t size = default_buffer_size);
    /// Does what read1() does, into memory of the caller. Returns the number of bytes, which is 0
    /// at the end of the stream.
    std::size_t readinto(std::span<char> buffer);
    /// Returns the content of the buffer and leaves it there. Receives once if the buffer is empty.
    /// Returns an empty view at the end of the stream.
    std::string_view peek();

    /// How many bytes are in the buffer: bytes that were received and not yet read by the caller.
    std::size_t buffered() const noexcept { return end_ - begin_; }

    /// Lets `for (std::string_view line : reader)` run over the lines up to the end of stream.
    class iterator {
      public:
        using iterator_category = std::input_iterator_tag;  ///< The lines can be read once.
        using value_type = std::string_view;                ///< A line.
        using difference_type = std::ptrdiff_t;             ///< Never used: there is no distance.
        using pointer = const std::string_view*;            ///< To a line.
        using reference = std::string_view;                 ///< To a line.

        /// Reads the first line.
        explicit iterator(BufferedReader& reader) : reader_{&reader} { ++*this; }
        /// The line, with its end. Valid until the reader is used again.
        std::string_view operator*() const noexcept { return line_; }
        /// Reads the next line.
        iterator& operator++() {
            line_ = reader_->readline();
            return *this;
        }
        /// Reads the next line.
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
            return it.line_.empty();
        }

      private:
        BufferedReader* reader_;
        std::string_view line_;
    };
    /// Reads the first line, with its end, and runs over those that follow.
    iterator begin();
    /// The end of the stream.
    std::default_sentinel_t end() const noexcept { return {}; }

    /// The lines without their ends, up to the end of stream, as next_line() returns them:
    /// `for (const auto& [text, has_end] : reader.lines())`.
    class Lines {
      public:
        /// Runs over the lines.
        class iterator {
          public:
            using iterator_category = std::input_iterator_tag;  ///< The lines can be read once.
            using value_type = Line;                            ///< A line.
            using difference_type = std::ptrdiff_t;  ///< Never used: there is no distance.
            using pointer = const Line*;             ///< To a line.
            using reference = const Line&;           ///< To a line.

            /// Reads the first line.
            iterator(BufferedReader& reader, std::size_t limit) : reader_{&reader}, limit_{limit} {
                ++*this;
            }
            /// The line. Its text is valid until the reader is used again.
            const Line& operator*() const noexcept { return *line_; }
            /// The same.
            const Line* operator->() const noexcept { return &*line_; }
            /// Reads the next line.
            iterator& operator++() {
                line_ = reader_->next_line(limit_);
                return *this;
            }
            /// Reads the next line.
            void operator++(int) { ++*this; }
            friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
                return !it.line_;
            }

          private:
            BufferedReader* reader_;
            std::size_t limit_;
            std::optional<Line> line_;
        };
        /// Reads the first line.
        iterator begin() const { return {*reader_, limit_}; }
        /// The end of the stream.
        std::default_sentinel_t end() const noexcept { return {}; }

      private:
        friend class BufferedReader;
        Lines(BufferedReader& reader, std::size_t limit) : reader_{&reader}, limit_{limit} {}

        BufferedReader* reader_;
        std::size_t limit_;
    };
    /// The lines of which none is longer than `limit` bytes; see Lines.
    Lines lines(std::size_t limit = default_line_limit) { return {*this, limit}; }

  private:
    friend class detail::RelaySide;
    friend class detail::Selection;

    void put_back(std::string_view bytes);
    std::string_view take(std::size_t size) noexcept;
    bool fill(std::size_t most, bool partial = false);
    std::ptrdiff_t receive_without_holding(std::size_t most, bool partial);
    /// Whether more can be received behind the buffered bytes.
    bool has_room(std::size_t most) const noexcept {
        return buffer_ != nullptr && end_ < capacity_ &&
               (begin_ == 0 || capacity_ - end_ >= most / 2);
    }
    void make_room();
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
