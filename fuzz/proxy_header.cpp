// SPDX-License-Identifier: MIT
// The parser of headers of the PROXY protocol: what it says of any bytes agrees with itself.
#include <socketserver/errors.hpp>
#include <socketserver/proxy_protocol.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "require.hpp"

namespace {

using fuzz::require;
namespace ss = socketserver;

/// Whether `data` begins with a header, with its size; 0: more is needed; nothing: it is none.
std::optional<std::size_t> size_of_header(std::string_view data) {
    try {
        const auto parsed = ss::parse_proxy_header(data);
        return parsed ? parsed->second : 0;
    } catch (const ss::ProxyHeaderError&) {
        return {};
    }
}

void check_whole(std::string_view data, std::size_t size) {
    require(size <= data.size(), "no byte belongs to a header that is not there");
    const bool is_line = data.front() == 'P';
    require(size <= (is_line ? ss::longest_proxy_line : ss::longest_proxy_header), "within bounds");
    const std::string_view own = data.substr(0, size);
    require(size_of_header(own) == size, "what follows a header changes nothing");
    // Whoever receives it in pieces waits for the rest, and takes none of what follows.
    for (std::size_t part = 0; part < size; ++part) {
        require(size_of_header(own.substr(0, part)) == 0, "a header in pieces");
    }
    const ss::ProxyHeader header = ss::parse_proxy_header(own)->first;
    require(header.version == (is_line ? 1 : 2), "the version");
    require(!header.is_local || (header.source.empty() && header.destination.empty()), "LOCAL");
    require(header.source.to_string().size() < 200, "an address that can be printed");
    std::size_t bytes = 0;
    for (const ss::ProxyTLV& each : header.tlvs) bytes += 3 + each.value.size();
    require(bytes <= size, "TLVs lie in the header");
    static_cast<void>(header.ssl());
    if (is_line && !header.source.empty()) {
        const std::string line =
            "PROXY " +
            std::string{header.source.family() == ss::AddressFamily::inet ? "TCP4 " : "TCP6 "} +
            header.source.host() + ' ' + header.destination.host() + ' ' +
            std::to_string(header.source.port()) + ' ' + std::to_string(header.destination.port()) +
            "\r\n";
        const auto again = ss::parse_proxy_header(line);
        require(again && again->first.source == header.source &&
                    again->first.destination == header.destination,
                "written again it says the same");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    const std::optional<std::size_t> header = size_of_header(text);
    if (header && *header > 0) check_whole(text, *header);
    if (header == 0) require(size < ss::longest_proxy_header, "it asks for no more than may come");
    return 0;
}
