// SPDX-License-Identifier: MIT
#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>

#include "socketserver/buffered_reader.hpp"
#include "socketserver/errors.hpp"

// The members of BufferedReader that cut a stream into messages. readline() has its own way,
// because it is what most handlers call for each request.
namespace socketserver {

std::optional<Line> BufferedReader::next_line(std::size_t limit) {
    std::string_view text = readline(limit);
    if (text.empty()) return {};
    if (!text.ends_with('\n')) return Line{text, false};
    text.remove_suffix(text.ends_with("\r\n") ? 2 : 1);
    return Line{text, true};
}

std::string_view BufferedReader::read_until(std::string_view delimiter, std::size_t limit) {
    if (delimiter.empty()) throw std::invalid_argument("read_until: an empty delimiter");
    for (std::size_t searched = 0;;) {
        const std::string_view visible{data_ + begin_, std::min(buffered(), limit)};
        const std::size_t at = visible.find(delimiter, searched);
        if (at != std::string_view::npos) return take(at + delimiter.size());
        if (buffered() >= limit) throw LineTooLong("read_until", limit);
        // The end of the received bytes may be the beginning of a delimiter.
        searched = visible.size() - std::min(visible.size(), delimiter.size() - 1);
        if (!fill(unbuffered_ ? 1 : capacity_)) return take(buffered());
    }
}

std::string BufferedReader::read_exactly(std::size_t size) {
    std::string bytes = read(size);
    if (bytes.size() == size) return bytes;
    throw IncompleteReadError("read_exactly", std::move(bytes), size);
}

void BufferedReader::read_exactly(std::span<char> buffer) {
    if (buffered() < buffer.size()) {
        const std::string bytes = read_exactly(buffer.size());
        bytes.copy(buffer.data(), bytes.size());
    } else {
        take(buffer.size()).copy(buffer.data(), buffer.size());
    }
}

}  // namespace socketserver
