// SPDX-License-Identifier: MIT
#include "socketserver/buffered_writer.hpp"

#include <fmt/format.h>

#include <iterator>
#include <utility>

namespace socketserver {

BufferedWriter::BufferedWriter(Socket& sink, std::size_t buffer_size)
    : sink_{&sink}, size_{buffer_size} {
    if (size_ > 0) sink_->set_corked(this);
}

BufferedWriter::~BufferedWriter() {
    if (sink_ != nullptr && sink_->corked() == this) sink_->set_corked(nullptr);
}

std::size_t BufferedWriter::write(std::string_view bytes) {
    // An empty send would be a datagram on a datagram socket, and a system call for nothing.
    if (bytes.empty()) return 0;
    // Apart from the rest, so that it needs no frame.
    if (sink_ != nullptr && size_ == 0) return sink_->transmit(bytes);
    return hold_back(bytes);
}

std::size_t BufferedWriter::hold_back(std::string_view bytes) {
    if (sink_ != nullptr) {
        if (held_back_.size() + bytes.size() > size_) flush();
        if (bytes.size() >= size_) return sink_->transmit(bytes);
    }
    held_back_ += bytes;
    return bytes.size();
}

void BufferedWriter::vprint(fmt::string_view format, fmt::format_args arguments) {
    fmt::memory_buffer text;
    fmt::vformat_to(std::back_inserter(text), format, arguments);
    write({text.data(), text.size()});
}

void BufferedWriter::flush() {
    if (sink_ == nullptr || held_back_.empty()) return;
    // Emptied first: sendall() flushes what is corked, and what failed to be sent is not sent
    // again, because nobody knows how much of it arrived.
    std::string sending = std::exchange(held_back_, {});
    sink_->sendall(sending);
    sending.clear();
    held_back_ = std::move(sending);  // keeps the memory for the next ones
}

void BufferedWriter::flush_corked() { flush(); }

}  // namespace socketserver
