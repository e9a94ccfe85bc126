// SPDX-License-Identifier: MIT
#include <cerrno>
#include <charconv>
#include <string>
#include <system_error>

#include "socketserver/address.hpp"

namespace socketserver {

namespace {

[[noreturn]] void refuse(std::string_view text, const char* why) {
    throw std::system_error(EINVAL, std::system_category(), '"' + std::string{text} + "\" " + why);
}

}  // namespace

std::uint16_t parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, port);
    if (error != std::errc{} || end != last) refuse(text, "is no port (0 to 65535)");
    return port;
}

Address Address::parse(std::string_view text) {
    // No host has a slash in it.
    if (text.starts_with('@') || text.find('/') != std::string_view::npos) return {text};
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) {
        refuse(text, R"(has no port ("host:port"), and is no path ("./name"))");
    }
    std::string_view host = text.substr(0, colon);
    const bool has_brackets = host.size() >= 2 && host.starts_with('[') && host.ends_with(']');
    if (has_brackets) {
        host = host.substr(1, host.size() - 2);
    } else if (host.find_first_of("[]:") != std::string_view::npos) {
        refuse(text, "is no address (IPv6 with a port is \"[::1]:80\")");
    }
    Address address{host, parse_port(text.substr(colon + 1))};
    if (has_brackets && address.family() != AddressFamily::inet6) {
        refuse(text, "is no address (what stands in brackets is not IPv6)");
    }
    return address;
}

}  // namespace socketserver
