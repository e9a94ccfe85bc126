// SPDX-License-Identifier: MIT
#include "socketserver/buffered_reader.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "io/buffer_pool.hpp"
#include "io/socket_error.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/errors.hpp"
#include "socketserver/socket.hpp"

namespace socketserver {

using detail::BufferPool;

namespace {
constexpr std::size_t largest_on_its_own = std::size_t{64} * 1024;
}

BufferedReader::BufferedReader(Socket& source, std::size_t buffer_size)
    : source_{&source},
      capacity_{std::bit_ceil(std::max(buffer_size, BufferPool::smallest))},
      unbuffered_{buffer_size == 0} {}

BufferedReader::BufferedReader(std::string_view data) noexcept
    : data_{data.data()}, capacity_{data.size()}, end_{data.size()} {}

BufferedReader::~BufferedReader() {
    if (buffer_ != nullptr) BufferPool::give_back(buffer_, capacity_);
}

/// Compiled flat, as the functions that send are: see Socket::transmit().
[[gnu::flatten]] std::string_view BufferedReader::readline(std::size_t limit) {
    std::size_t searched = 0;
    for (;;) {
        const std::size_t visible = std::min(buffered(), limit);
        if (visible > searched) {
            const char* start = data_ + begin_;
            const void* found = std::memchr(start + searched, '\n', visible - searched);
            if (found != nullptr) {
                const std::string_view line{start, static_cast<const char*>(found) + 1};
                begin_ += line.size();
                return line;
            }
        }
        searched = buffered();
        if (searched >= limit) throw LineTooLong(limit);
        if (!fill(unbuffered_ ? 1 : capacity_)) return take(buffered());
    }
}

BufferedReader::iterator BufferedReader::begin() { return iterator{*this}; }

std::string BufferedReader::read() {
    std::string result;
    try {
        do {
            result += take(buffered());
        } while (fill(capacity_));
    } catch (...) {
        put_back(result);
        throw;
    }
    return result;
}

std::string BufferedReader::read(std::size_t size) {
    std::string result;
    try {
        while (true) {
            result += take(std::min(size - result.size(), buffered()));
            if (result.size() == size) return result;
            const std::size_t missing = size - result.size();
            if (!fill(unbuffered_ ? missing : capacity_, !result.empty())) return result;
        }
    } catch (...) {
        put_back(result);
        throw;
    }
}

std::string BufferedReader::read1(std::size_t size) {
    if (size == 0) return {};
    if (buffered() == 0) fill(unbuffered_ ? size : capacity_);
    return std::string{take(std::min(size, buffered()))};
}

std::size_t BufferedReader::readinto(std::span<char> buffer) {
    if (buffer.empty()) return 0;
    if (buffered() == 0) {
        // A large buffer of the caller needs no copy on the way.
        if (source_ != nullptr && (unbuffered_ || buffer.size() >= capacity_)) {
            return source_->recv_into(buffer);
        }
        fill(capacity_);
    }
    const std::string_view bytes = take(std::min(buffer.size(), buffered()));
    bytes.copy(buffer.data(), bytes.size());
    return bytes.size();
}

std::string_view BufferedReader::peek() {
    if (buffered() == 0) fill(unbuffered_ ? 1 : capacity_);
    return {data_ + begin_, buffered()};
}

std::string_view BufferedReader::take(std::size_t size) noexcept {
    const std::string_view taken{data_ + begin_, size};
    begin_ += size;
    return taken;
}

/// Receives once, at most `most` bytes. Returns false at the end of the stream. `partial` says that
/// the bytes taken from the buffer so far are a part of what the caller wants, and are not used
/// yet.
bool BufferedReader::fill(std::size_t most, bool partial) {
    if (source_ == nullptr) return false;
    if (source_->corked_ != nullptr) source_->corked_->flush_before_wait();
    std::ptrdiff_t received = 0;
    if (detail::current().io != nullptr && buffered() == 0) {
        received = receive_without_holding(most, partial);
    } else {
        if (buffered() == 0) begin_ = end_ = 0;
        if (!has_room(most)) make_room();
        received = source_->receive_some(buffer_ + end_, std::min(most, capacity_ - end_), 0,
                                         partial || buffered() > 0);
        if (received == -1) detail::throw_io_error(source_->channel(), "recv");
    }
    end_ += static_cast<std::size_t>(received);
    return received > 0;
}

/// On a carrier that can wait without a buffer, so that an idle connection holds none.
std::ptrdiff_t BufferedReader::receive_without_holding(std::size_t most, bool partial) {
    begin_ = end_ = 0;
    for (bool tries = source_->may_have_input();; tries = true) {
        if (tries) {
            if (!has_room(most)) make_room();
            const std::ptrdiff_t received =
                source_->receive_some(buffer_, std::min(most, capacity_), MSG_DONTWAIT, partial);
            if (received != -1) {
                filled_ = static_cast<std::size_t>(received) == capacity_;
                return received;
            }
        }
        if (buffer_ != nullptr) release();
        // A message as long as the buffer cannot be seen to be all there is: with a larger one the
        // carrier is spared a call that finds nothing.
        if (filled_ && capacity_ < largest_on_its_own) capacity_ *= 2;
        source_->wait_for_input(partial);
    }
}

/// Makes room for at least one byte behind the buffered ones.
void BufferedReader::make_room() {
    if (buffer_ == nullptr) {
        data_ = buffer_ = BufferPool::take(capacity_);
    } else if (begin_ > 0) {
        std::memmove(buffer_, buffer_ + begin_, buffered());
    } else {
        char* larger = BufferPool::take(capacity_ * 2);
        std::memcpy(larger, buffer_, end_);
        BufferPool::give_back(buffer_, capacity_);
        capacity_ *= 2;
        data_ = buffer_ = larger;
    }
    end_ -= begin_;
    begin_ = 0;
}

/// Called after a receive that failed: puts the bytes that were taken before it back to the
/// beginning of the buffer.
void BufferedReader::put_back(std::string_view bytes) {
    if (bytes.empty()) return;
    if (source_ == nullptr) {
        begin_ -= bytes.size();
        return;
    }
    const std::size_t needed = bytes.size() + buffered();
    const std::size_t capacity = std::bit_ceil(std::max(needed, capacity_));
    char* with_both = BufferPool::take(capacity);
    bytes.copy(with_both, bytes.size());
    std::copy_n(data_ + begin_, buffered(), with_both + bytes.size());
    release();
    capacity_ = capacity;
    data_ = buffer_ = with_both;
    end_ = needed;
}

void BufferedReader::release() noexcept {
    if (buffer_ != nullptr) BufferPool::give_back(buffer_, capacity_);
    data_ = buffer_ = nullptr;
    begin_ = end_ = 0;
}

}  // namespace socketserver
