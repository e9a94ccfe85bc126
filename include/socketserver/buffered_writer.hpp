// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/core.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/carrier_mutex.hpp"
#include "socketserver/integers.hpp"
#include "socketserver/socket.hpp"

namespace socketserver {

/// Writes to a Socket, with or without a buffer, or to memory.
///
/// With a buffer, what is written is held back until the buffer is full, flush() is called, or
/// somebody waits for input on the same socket. So a reply is always on its way before the handler
/// waits for the client, and holding back cannot cause a deadlock. Replies to pipelined requests
/// are then sent together.
///
/// Thread safety: distinct objects are independent. One object that writes to a socket with a
/// buffer may be used from several threads or fibers at once, while another one reads: each write()
/// and each print() is sent as a whole, in the order of the calls. A reader that is about to wait
/// while another thread is writing does not flush the buffer itself; the thread that writes does
/// it. Without a buffer, and in memory, several writers need a lock. data() may be called only
/// while nobody else uses the object.
///
/// The socket must outlive the writer and must not be moved meanwhile.
///
/// Mirrors `io.BufferedWriter`, and with a buffer size of 0 the unbuffered writer that Python's
/// `wfile` is by default.
class SOCKETSERVER_EXPORT BufferedWriter final : private detail::Corked {
  public:
    /// @param buffer_size how many bytes are held back at most. With 0 each write is sent before it
    /// returns.
    explicit BufferedWriter(Socket& sink, std::size_t buffer_size = 0);
    /// Collects in memory, without a limit; see data().
    BufferedWriter() noexcept = default;
    BufferedWriter(const BufferedWriter&) = delete;
    BufferedWriter& operator=(const BufferedWriter&) = delete;
    /// Discards output that was not flushed, because a destructor cannot report that sending
    /// failed.
    ~BufferedWriter();

    /// Writes all of `bytes`; returns their number.
    ///
    /// @throws std::system_error if sending fails; TimeoutError.
    std::size_t write(std::string_view bytes);

    /// Formats with fmt and writes the result. The format string is checked when it is compiled.
    template <class... Arguments>
    void print(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
        vprint(format, fmt::make_format_args(arguments...));
    }
    /// Does what print() does, with arguments whose types are known at run time only.
    void vprint(fmt::string_view format, fmt::format_args arguments);

    /// Writes an integer with as many bytes as `T` has, in network order by default:
    /// `write_integer<std::uint16_t>(text.size())`.
    ///
    /// @throws std::out_of_range if `T` cannot represent `value`; otherwise what write() throws.
    template <packable_integer T>
    void write_integer(packable_integer auto value, std::endian order = std::endian::big) {
        const std::array<char, sizeof(T)> bytes = pack<T>(value, order);
        write({bytes.data(), bytes.size()});
    }

    /// Sends what is held back. Does nothing in memory.
    void flush();

    /// The output that is held back. For a writer to memory this is all that was written.
    std::string_view data() const noexcept { return held_back_; }

  private:
    std::size_t hold_back(std::string_view bytes);
    void flush_before_send() override;
    void flush_before_wait() override;
    template <class Work>
    void alone(Work work);
    void flush_if_wanted();
    void send_held_back();

    Socket* sink_ = nullptr;  // null: memory
    std::size_t size_ = 0;
    std::string held_back_;
    // Of held_back_ and of sending, if there are a socket and a buffer.
    std::optional<detail::CarrierMutex> mutex_;
    std::atomic<bool> flush_wanted_{false};  // by a reader that found the mutex locked
};

}  // namespace socketserver
