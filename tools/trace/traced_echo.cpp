// SPDX-License-Identifier: MIT
// Serves one TCP request, and prints each function that the server's threads entered and left
// meanwhile:
//   traced_echo threading|fiber
//
// The compiler calls the two hooks below (-finstrument-functions). Lines of the output:
//   > <thread> <address of the function> <its frame>   entered
//   < <thread> <address of the function> <its frame>   left
//   = <what the client does>                            what follows is the server's answer to it
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <thread>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "socketserver/socketserver.hpp"

#define NOT_TRACED __attribute__((no_instrument_function))

namespace {

struct Record {
    std::uintptr_t function;
    std::uintptr_t frame;
    int thread;
    bool entered;
};

std::array<Record, 1 << 20> records;
std::atomic<std::size_t> used{0};

NOT_TRACED void record(void* function, void* frame, bool entered) {
    static thread_local const int thread = ::gettid();
    const std::size_t place = used.fetch_add(1);
    if (place >= records.size()) std::abort();  // far more than a request ever took
    records[place] = {reinterpret_cast<std::uintptr_t>(function),
                      reinterpret_cast<std::uintptr_t>(frame), thread, entered};
}

}  // namespace

// The caller's frame is safe to ask for: without optimisation each function has one.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wframe-address"
extern "C" {
NOT_TRACED void __cyg_profile_func_enter(void* function, void*) {
    record(function, __builtin_frame_address(1), true);
}
NOT_TRACED void __cyg_profile_func_exit(void* function, void*) {
    record(function, __builtin_frame_address(1), false);
}
}
#pragma GCC diagnostic pop

namespace {

class EchoHandler : public socketserver::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

// What follows has no hooks: the client must not be in the trace. It uses nothing of the library.

[[noreturn]] NOT_TRACED void fail(const char* what) {
    std::fprintf(stderr, "traced_echo: %s failed\n", what);
    std::_Exit(1);
}

/// How often each thread of the process but this one has gone to sleep; empty if one is awake.
NOT_TRACED std::map<std::string, std::string> sleepers() {
    std::map<std::string, std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/task"}) {
        const std::string thread = entry.path().filename();
        if (thread == std::to_string(::gettid())) continue;
        std::ifstream status{entry.path() / "status"};
        bool sleeps = false;
        for (std::string line; std::getline(status, line);) {
            if (line.starts_with("State:")) sleeps = line.find('S', 6) != std::string::npos;
            if (line.starts_with("voluntary_ctxt_switches:")) found[thread] = line;
        }
        if (!sleeps) return {};
    }
    return found;
}

/// Waits until the server has done something since `before` records, and all its threads sleep.
NOT_TRACED void wait_until_idle(std::size_t before) {
    using namespace std::chrono_literals;
    const auto until = std::chrono::steady_clock::now() + 30s;
    while (std::chrono::steady_clock::now() < until) {
        // Seen asleep twice, without having been awake in between: then all slept at one moment.
        const auto asleep = sleepers();
        if (used > before && !asleep.empty() && asleep == sleepers()) return;
        std::this_thread::sleep_for(1ms);  // nothing tells when a thread has gone to sleep
    }
    fail("waiting for the server");
}

/// How many records there were when the client took each step.
struct Steps {
    std::size_t connect;
    std::size_t send;
    std::size_t close;
};

/// One request. Each step begins when the server waits for it: the trace is the same each time.
NOT_TRACED Steps ask(std::uint16_t port) {
    constexpr std::string_view line = "hello\n";
    std::array<char, line.size()> reply{};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    Steps begin{};
    begin.connect = used;
    const int client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        fail("connect");
    wait_until_idle(begin.connect);

    begin.send = used;
    if (::send(client, line.data(), line.size(), 0) != ssize_t{line.size()}) fail("send");
    if (::recv(client, reply.data(), reply.size(), MSG_WAITALL) != ssize_t{line.size()} ||
        std::string_view{reply.data(), reply.size()} != line)
        fail("the echo");
    wait_until_idle(begin.send);

    begin.close = used;
    ::close(client);
    wait_until_idle(begin.close);
    return begin;
}

template <class Server>
NOT_TRACED int trace() {
    using namespace std::chrono_literals;
    Server server{{"127.0.0.1", 0}};
    // A thread, or a stack, waits for the next request as it does in a server that has run a while.
    if constexpr (requires { server.workers; }) server.workers = 1;
    std::jthread serving{[&server] NOT_TRACED { server.serve_forever(1h); }};
    wait_until_idle(0);
    const std::uint16_t port = server.server_address().port();
    for (int warm_up = 0; warm_up < 2; ++warm_up) ask(port);
    const Steps begin = ask(port);
    const std::size_t end = used;
    for (std::size_t i = begin.connect; i < end; ++i) {
        if (i == begin.connect) std::puts("= connects");
        if (i == begin.send) std::puts("= sends a line");
        if (i == begin.close) std::puts("= closes the connection");
        std::printf("%c %d %zx %zx\n", records[i].entered ? '>' : '<', records[i].thread,
                    records[i].function, records[i].frame);
    }
    server.shutdown();
    return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace

NOT_TRACED int main(int argc, char** argv) {
    const std::string_view policy = argc == 2 ? argv[1] : "";
    if (policy == "threading") return trace<socketserver::ThreadingTCPServer<EchoHandler>>();
#ifdef HAVE_FIBERS
    if (policy == "fiber") return trace<socketserver::FiberTCPServer<EchoHandler>>();
#endif
    std::fputs("usage: traced_echo threading|fiber (fiber where Boost.Context is)\n", stderr);
    return 2;
}
