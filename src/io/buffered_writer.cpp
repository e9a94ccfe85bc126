// SPDX-License-Identifier: MIT
#include "socketserver/buffered_writer.hpp"

#include <fmt/format.h>

#include <iterator>
#include <mutex>
#include <utility>

namespace socketserver {

BufferedWriter::BufferedWriter(Socket& sink, std::size_t buffer_size)
    : sink_{&sink}, size_{buffer_size} {
    if (size_ == 0) return;
    mutex_.emplace();
    sink_->set_corked(this);
}

BufferedWriter::~BufferedWriter() {
    if (sink_ != nullptr && sink_->corked() == this) sink_->set_corked(nullptr);
}

std::size_t BufferedWriter::write(std::string_view bytes) {
    // An empty send would send a datagram on a datagram socket, and be a useless system call on a
    // stream.
    if (bytes.empty()) return 0;
    // This case is separate, so that it needs no stack frame.
    if (sink_ != nullptr && size_ == 0) return sink_->transmit(bytes);
    return hold_back(bytes);
}

/// Does `work` with the mutex locked, if several threads or fibers may write.
template <class Work>
void BufferedWriter::alone(Work work) {
    {
        const std::lock_guard lock{*mutex_};
        work();
    }
    flush_if_wanted();
}

std::size_t BufferedWriter::hold_back(std::string_view bytes) {
    if (sink_ == nullptr) {
        held_back_ += bytes;
        return bytes.size();
    }
    alone([&] {
        if (held_back_.size() + bytes.size() > size_) send_held_back();
        if (bytes.size() >= size_) {
            sink_->transmit(bytes, this);
        } else {
            held_back_ += bytes;
        }
    });
    return bytes.size();
}

void BufferedWriter::vprint(fmt::string_view format, fmt::format_args arguments) {
    fmt::memory_buffer text;
    fmt::vformat_to(std::back_inserter(text), format, arguments);
    write({text.data(), text.size()});
}

void BufferedWriter::flush() {
    if (sink_ == nullptr || size_ == 0) return;
    alone([&] { send_held_back(); });
}

void BufferedWriter::flush_before_send() { flush(); }

/// Does not wait for a writer, because that could be a deadlock: the writer may wait for the peer,
/// and the peer may wait until its output is read.
void BufferedWriter::flush_before_wait() {
    if (!mutex_->try_lock()) {
        flush_wanted_ = true;
        return flush_if_wanted();  // the writer may have finished before it could see this
    }
    {
        const std::lock_guard lock{*mutex_, std::adopt_lock};
        send_held_back();
    }
    flush_if_wanted();
}

/// To be called after each unlock, because a reader may have found the mutex locked.
void BufferedWriter::flush_if_wanted() {
    while (flush_wanted_ && mutex_->try_lock()) {
        flush_wanted_ = false;
        const std::lock_guard lock{*mutex_, std::adopt_lock};
        send_held_back();
    }
}

/// To be called with the mutex locked.
void BufferedWriter::send_held_back() {
    if (held_back_.empty()) return;
    // The buffer is emptied first: if sending fails, the output is not sent again, because nobody
    // knows how much of it has arrived.
    std::string sending = std::exchange(held_back_, {});
    sink_->transmit(sending, this);
    sending.clear();
    held_back_ = std::move(sending);  // keeps the memory for the next ones
}

}  // namespace socketserver
