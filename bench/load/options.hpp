// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace load {

enum class Mode { echo, connect, idle, udp };

struct Options {
    Mode mode = Mode::echo;
    std::string address;
    std::uint32_t connections = 1;
    std::size_t length = 64;     // bytes of a line, with its newline
    std::size_t pipeline = 1;    // lines that are sent before their replies are waited for
    double seconds = 2;          // the measured interval
    double warmup = 0.2;         // after every connection has had its first reply
    double every = 0;            // idle: each connection echoes once in so many seconds; 0: silent
    double timeout = 20;         // without any reply for so long the run has failed
    std::uint64_t requests = 0;  // end the measured interval after so many; 0: only after `seconds`
    bool tls = false;            // with a full handshake for each connection
    pid_t server_pid = 0;        // whose CPU time and memory are reported
};

inline constexpr const char* usage =
    "usage: load echo|connect|idle|udp ADDRESS [option...]\n"
    "  ADDRESS           a port of 127.0.0.1, a path, or @name\n"
    "  --connections N   concurrent connections (1)\n"
    "  --length N        bytes of a line (64)\n"
    "  --pipeline N      lines sent at once (1)\n"
    "  --seconds S       measured interval; idle: how long the connections are held (2)\n"
    "  --requests N      end the measured interval after N requests\n"
    "  --warmup S        before the measured interval (0.2)\n"
    "  --every S         idle: each connection echoes once in S seconds (0: silent)\n"
    "  --timeout S       fail when no reply comes for so long (20)\n"
    "  --tls 1           speak TLS, without looking at the certificate\n"
    "  --server-pid PID  report this process's CPU time and memory, with those of its children\n";

[[noreturn]] inline void fail_usage() {
    std::fputs(usage, stderr);
    std::exit(2);
}

inline Mode parse_mode(std::string_view text) {
    if (text == "echo") return Mode::echo;
    if (text == "connect") return Mode::connect;
    if (text == "idle") return Mode::idle;
    if (text == "udp") return Mode::udp;
    fail_usage();
}

inline Options parse(int argc, char** argv) {
    if (argc < 3 || argc % 2 == 0) fail_usage();
    Options options;
    options.mode = parse_mode(argv[1]);
    options.address = argv[2];
    for (int i = 3; i < argc; i += 2) {
        const std::string_view name = argv[i];
        const double value = std::atof(argv[i + 1]);
        if (value < 0) fail_usage();
        if (name == "--connections") {
            options.connections = static_cast<std::uint32_t>(value);
        } else if (name == "--length") {
            options.length = static_cast<std::size_t>(value);
        } else if (name == "--pipeline") {
            options.pipeline = static_cast<std::size_t>(value);
        } else if (name == "--requests") {
            options.requests = static_cast<std::uint64_t>(value);
        } else if (name == "--server-pid") {
            options.server_pid = static_cast<pid_t>(value);
        } else if (name == "--seconds") {
            options.seconds = value;
        } else if (name == "--tls") {
            options.tls = value != 0;
        } else if (name == "--warmup") {
            options.warmup = value;
        } else if (name == "--every") {
            options.every = value;
        } else if (name == "--timeout") {
            options.timeout = value;
        } else {
            fail_usage();
        }
    }
    if (options.connections == 0 || options.length == 0 || options.pipeline == 0) fail_usage();
    if (options.mode == Mode::udp) options.pipeline = 1;  // a datagram is a request
    return options;
}

}  // namespace load
