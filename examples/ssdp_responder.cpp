// SPDX-License-Identifier: MIT
// Answers searches of SSDP, by which UPnP finds devices: a server of a multicast group.
// Try: gssdp-discover --interface=lo --target=urn:example-org:service:clock:1 (Debian: gupnp-tools)
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>
#include <utility>

namespace ss = socketserver;

namespace {

constexpr std::string_view service = "urn:example-org:service:clock:1";
constexpr std::string_view device = "uuid:9f0865b3-f5da-4ad5-85b7-7404637fdf37";

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool is_same_name(std::string_view one, std::string_view other) {
    return std::equal(one.begin(), one.end(), other.begin(), other.end(), [](char a, char b) {
        return std::tolower(static_cast<unsigned char>(a)) ==
               std::tolower(static_cast<unsigned char>(b));
    });
}

class SearchHandler : public ss::DatagramRequestHandler {
    void handle() override {
        const auto first = rfile().next_line();
        if (!first || first->text != "M-SEARCH * HTTP/1.1")
            return;  // what devices say of themselves
        std::string target;
        bool is_discover = false;
        while (const auto line = rfile().next_line()) {
            const std::size_t colon = line->text.find(':');
            if (colon == std::string_view::npos) continue;
            const std::string_view name = line->text.substr(0, colon);
            const std::string_view value = trimmed(line->text.substr(colon + 1));
            if (is_same_name(name, "ST")) target = value;
            if (is_same_name(name, "MAN")) is_discover = value == "\"ssdp:discover\"";
        }
        if (!is_discover || (target != service && target != "ssdp:all")) return;
        wfile().print(
            "HTTP/1.1 200 OK\r\n"
            "CACHE-CONTROL: max-age=1800\r\n"
            "EXT:\r\n"
            "LOCATION: http://localhost/clock.xml\r\n"
            "SERVER: Linux UPnP/1.1 example/1.0\r\n"
            "ST: {}\r\n"
            "USN: {}::{}\r\n"
            "\r\n",
            service, device, service);
    }
};

// [ssdp_server]
/// Other programs of the machine listen on the same port: that needs allow_reuse_address.
class SsdpServer : public ss::UDPServer<SearchHandler> {
  public:
    SsdpServer(std::int64_t port, const std::string& interface)
        : UDPServer{{"", port}, {.allow_reuse_address = true}} {
        socket().join_group({.group = {"239.255.255.250", 0}, .interface = interface});
    }
};
// [ssdp_server]

}  // namespace

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 1900;
    SsdpServer server{port, argc > 2 ? argv[2] : "lo"};
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
