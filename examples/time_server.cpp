// SPDX-License-Identifier: MIT
// The time protocol of RFC 868 on UDP: whoever sends a datagram, even an empty one, is told the
// seconds since 1900, in four bytes, the most significant first.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <chrono>

namespace ss = socketserver;

// [time_server]
class TimeHandler : public ss::DatagramRequestHandler {
    void handle() override {
        using namespace std::chrono;
        constexpr seconds from_1900_to_1970{2'208'988'800};
        const auto now = duration_cast<seconds>(system_clock::now().time_since_epoch());
        const auto time = static_cast<std::uint32_t>((now + from_1900_to_1970).count());
        for (const int shift : {24, 16, 8, 0}) {
            const char byte = static_cast<char>(time >> shift & 0xff);
            wfile().write({&byte, 1});  // all that is written is sent as one datagram
        }
    }
};
// [time_server]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 3737;
    ss::UDPServer<TimeHandler> server{{"localhost", port}};
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
