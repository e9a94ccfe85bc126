// SPDX-License-Identifier: MIT
// The headers of the PROXY protocol as bytes:
// https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string>
#include <system_error>

#include "io/sockaddr.hpp"
#include "socketserver/errors.hpp"
#include "socketserver/integers.hpp"
#include "socketserver/proxy_protocol.hpp"

namespace socketserver {

namespace {

using Failure = ProxyHeaderFailure;
using Parsed = std::optional<std::pair<ProxyHeader, std::size_t>>;

constexpr std::string_view line_begin = "PROXY ";
constexpr std::string_view signature{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr std::size_t fixed_size = 16;

enum TLVType : std::uint8_t {
    type_alpn = 0x01,
    type_authority = 0x02,
    type_crc32c = 0x03,
    type_unique_id = 0x05,
    type_ssl = 0x20,
    type_ssl_version = 0x21,
    type_ssl_common_name = 0x22,
    type_ssl_cipher = 0x23,
    type_ssl_signature = 0x24,
    type_ssl_key = 0x25,
};

[[noreturn]] void malformed(const char* what) { throw ProxyHeaderError(Failure::malformed, what); }

/// Whether `data` and `begin` are equal over the length of the shorter one.
bool may_begin_with(std::string_view data, std::string_view begin) {
    const std::size_t size = std::min(data.size(), begin.size());
    return data.substr(0, size) == begin.substr(0, size);
}

// Version 1: a line of text.

/// The next of the words that are separated by one space each.
std::string_view next_word(std::string_view& line) {
    const std::size_t space = line.find(' ');
    const std::string_view word = line.substr(0, space);
    line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
    return word;
}

std::uint16_t port_of(std::string_view word) {
    std::uint16_t port = 0;
    const char* const last = word.data() + word.size();
    const auto [end, error] = std::from_chars(word.data(), last, port);
    if (error != std::errc{} || end != last || (word.size() > 1 && word.front() == '0')) {
        malformed("a port is no number from 0 to 65535");
    }
    return port;
}

Address address_of(std::string_view host, std::uint16_t port, int family) {
    std::array<unsigned char, sizeof(in6_addr)> ip{};
    const std::string text{host};  // inet_pton(3) needs a terminating zero
    if (text.size() != std::strlen(text.c_str()) ||
        ::inet_pton(family, text.c_str(), ip.data()) != 1) {
        malformed("an address is not of its family");
    }
    return {host, port};
}

ProxyHeader parse_line(std::string_view line) {
    ProxyHeader header;
    header.version = 1;
    line.remove_prefix(line_begin.size());
    const std::string_view protocol = next_word(line);
    if (protocol == "UNKNOWN") return header;  // the rest of the line is ignored
    if (protocol != "TCP4" && protocol != "TCP6") malformed("neither TCP4, TCP6 nor UNKNOWN");
    const int family = protocol == "TCP4" ? AF_INET : AF_INET6;
    if (std::count(line.begin(), line.end(), ' ') != 3)
        malformed("not two addresses and two ports");
    const std::string_view source = next_word(line);
    const std::string_view destination = next_word(line);
    const std::uint16_t source_port = port_of(next_word(line));
    const std::uint16_t destination_port = port_of(next_word(line));
    header.source = address_of(source, source_port, family);
    header.destination = address_of(destination, destination_port, family);
    return header;
}

Parsed parse_version_1(std::string_view data) {
    const std::string_view line = data.substr(0, longest_proxy_line);
    const std::size_t end = line.find('\n');
    if (end == std::string_view::npos) {
        if (line.size() < longest_proxy_line) return {};
        throw ProxyHeaderError(Failure::too_long, "a line of more than 107 bytes");
    }
    if (line[end - 1] != '\r') malformed("a line that LF ends without CR");
    return std::pair{parse_line(line.substr(0, end - 1)), end + 1};
}

// Version 2: binary.

using detail::SockAddr;

/// CRC-32C. It is computed bit by bit, because few proxies send one.
std::uint32_t crc32c(std::string_view data) {
    std::uint32_t crc = ~std::uint32_t{0};
    for (const char each : data) {
        crc ^= static_cast<unsigned char>(each);
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
    }
    return ~crc;
}

/// Returns false if the bytes are not a sequence of TLVs.
bool read_tlvs(std::string_view data, std::vector<ProxyTLV>& tlvs) {
    while (!data.empty()) {
        if (data.size() < 3) return false;
        const std::size_t size = unpack<std::uint16_t>(data.substr(1, 2));
        if (data.size() - 3 < size) return false;
        tlvs.push_back({static_cast<std::uint8_t>(data[0]), std::string{data.substr(3, size)}});
        data.remove_prefix(3 + size);
    }
    return true;
}

/// If the header has a checksum, verifies it. The proxy computed it with zeros in the place of the
/// checksum.
void require_checksum(std::string_view data, std::size_t tlvs_at) {
    for (std::size_t at = tlvs_at; at < data.size();) {
        const std::size_t size = unpack<std::uint16_t>(data.substr(at + 1, 2));
        if (static_cast<std::uint8_t>(data[at]) == type_crc32c) {
            if (size != 4) malformed("a checksum that has not four bytes");
            std::string zeroed{data};
            zeroed.replace(at + 3, 4, 4, '\0');
            if (unpack<std::uint32_t>(data.substr(at + 3, 4)) != crc32c(zeroed)) {
                malformed("the checksum is wrong");
            }
        }
        at += 3 + size;
    }
}

Address inet_address(std::string_view ip, std::string_view port) {
    SockAddr raw;
    auto& address = reinterpret_cast<sockaddr_in&>(raw.storage);
    address.sin_family = AF_INET;
    std::memcpy(&address.sin_addr, ip.data(), ip.size());
    std::memcpy(&address.sin_port, port.data(), port.size());
    raw.size = sizeof address;
    return detail::from_sockaddr(raw);
}

Address inet6_address(std::string_view ip, std::string_view port) {
    SockAddr raw;
    auto& address = reinterpret_cast<sockaddr_in6&>(raw.storage);
    address.sin6_family = AF_INET6;
    std::memcpy(&address.sin6_addr, ip.data(), ip.size());
    std::memcpy(&address.sin6_port, port.data(), port.size());
    raw.size = sizeof address;
    return detail::from_sockaddr(raw);
}

constexpr std::size_t unix_size = 108;

/// The path is as in sockaddr_un::sun_path, but has a fixed size; the unused bytes are zero.
Address unix_address(std::string_view path) {
    const std::size_t end = path.find_last_not_of('\0') + 1;
    if (end == 0) return {};
    const bool is_abstract = path.front() == '\0';
    std::string name{is_abstract ? path.substr(1, end - 1) : path.substr(0, path.find('\0'))};
    // The kernel accepts such a name, but an Address cannot have it.
    if (end == unix_size || name.find('\0') != std::string::npos ||
        (!is_abstract && name.front() == '@')) {
        malformed("the name of a Unix socket that is none");
    }
    return Address{is_abstract ? '@' + name : name};
}

enum class Family : unsigned char { unspecified, inet, inet6, unix_domain };

constexpr std::size_t size_of_addresses(Family family) {
    switch (family) {
        case Family::inet:
            return 2 * (4 + 2);
        case Family::inet6:
            return 2 * (16 + 2);
        case Family::unix_domain:
            return 2 * unix_size;
        case Family::unspecified:
            break;
    }
    return 0;
}

void read_addresses(Family family, std::string_view data, ProxyHeader& header) {
    const auto part = [&](std::size_t at, std::size_t size) { return data.substr(at, size); };
    switch (family) {
        case Family::inet:
            header.source = inet_address(part(0, 4), part(8, 2));
            header.destination = inet_address(part(4, 4), part(10, 2));
            break;
        case Family::inet6:
            header.source = inet6_address(part(0, 16), part(32, 2));
            header.destination = inet6_address(part(16, 16), part(34, 2));
            break;
        case Family::unix_domain:
            header.source = unix_address(part(0, unix_size));
            header.destination = unix_address(part(unix_size, unix_size));
            break;
        case Family::unspecified:
            break;
    }
}

/// `data` is a whole header.
ProxyHeader parse_whole(std::string_view data) {
    ProxyHeader header;
    header.version = 2;
    header.is_local = (data[12] & 0xf) == 0;
    const auto family = static_cast<unsigned char>(data[13]) >> 4U;
    const auto transport = static_cast<unsigned char>(data[13]) & 0xfU;
    const bool is_known = family <= 3 && transport <= 2;
    // If the proxy connects for itself, the addresses have no meaning. The same is true if its
    // client has no address that the protocol can express.
    const bool has_addresses = !header.is_local && family != 0 && transport != 0;
    if (!header.is_local && !is_known) malformed("an unknown family or transport");
    const auto known = is_known ? static_cast<Family>(family) : Family::unspecified;
    const std::size_t tlvs_at = fixed_size + size_of_addresses(known);
    if (tlvs_at > data.size()) {
        if (has_addresses) malformed("too short for its addresses");
        return header;
    }
    if (has_addresses) read_addresses(known, data.substr(fixed_size), header);
    if (!read_tlvs(data.substr(tlvs_at), header.tlvs)) {
        if (has_addresses) malformed("TLVs that do not fill the header");
        header.tlvs.clear();
        return header;
    }
    require_checksum(data, tlvs_at);
    return header;
}

Parsed parse_version_2(std::string_view data) {
    if (data.size() > 12) {
        const auto command = static_cast<unsigned char>(data[12]);
        if (command >> 4U != 2) malformed("signed as version 2, and of another");
        if ((command & 0xfU) > 1) malformed("neither LOCAL nor PROXY");
    }
    if (data.size() < fixed_size) return {};
    const std::size_t size = fixed_size + unpack<std::uint16_t>(data.substr(14, 2));
    if (size > longest_proxy_header) {
        throw ProxyHeaderError(
            Failure::too_long,
            "a header of more than " + std::to_string(longest_proxy_header) + " bytes");
    }
    if (data.size() < size) return {};
    return std::pair{parse_whole(data.substr(0, size)), size};
}

}  // namespace

Parsed parse_proxy_header(std::string_view data) {
    if (data.empty()) return {};
    if (may_begin_with(data, line_begin)) return parse_version_1(data);
    if (may_begin_with(data, signature)) return parse_version_2(data);
    throw ProxyHeaderError(Failure::not_a_header, "the connection begins with something else");
}

std::optional<std::string_view> ProxyHeader::tlv(std::uint8_t type) const noexcept {
    for (const ProxyTLV& each : tlvs) {
        if (each.type == type) return each.value;
    }
    return {};
}

std::optional<std::string_view> ProxyHeader::alpn() const noexcept { return tlv(type_alpn); }
std::optional<std::string_view> ProxyHeader::authority() const noexcept {
    return tlv(type_authority);
}
std::optional<std::string_view> ProxyHeader::unique_id() const noexcept {
    return tlv(type_unique_id);
}

std::optional<ProxySSL> ProxyHeader::ssl() const {
    const auto value = tlv(type_ssl);
    // The value has one byte about the client, four bytes about the verification by the proxy, and
    // then TLVs of its own.
    std::vector<ProxyTLV> inner;
    if (!value || value->size() < 5 || !read_tlvs(value->substr(5), inner)) return {};
    const auto client = static_cast<unsigned char>(value->front());
    ProxySSL ssl{
        .is_encrypted = (client & 1U) != 0,
        .has_certificate = (client & 2U) != 0,
        .had_certificate = (client & 4U) != 0,
        .is_verified = (client & 6U) != 0 && unpack<std::uint32_t>(value->substr(1, 4)) == 0};
    for (ProxyTLV& each : inner) {
        switch (each.type) {
            case type_ssl_version:
                ssl.version = std::move(each.value);
                break;
            case type_ssl_common_name:
                ssl.common_name = std::move(each.value);
                break;
            case type_ssl_cipher:
                ssl.cipher = std::move(each.value);
                break;
            case type_ssl_signature:
                ssl.signature_algorithm = std::move(each.value);
                break;
            case type_ssl_key:
                ssl.key_algorithm = std::move(each.value);
                break;
            default:
                break;
        }
    }
    return ssl;
}

}  // namespace socketserver
