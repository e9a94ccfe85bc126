// SPDX-License-Identifier: MIT
// What many fibers cost that do nothing but wait, each with a timeout: "fiber_sleepers [COUNT]". It
// needs no descriptors for them, so that it runs where a hard limit forbids as many connections.
// Prints resident bytes per fiber, nanoseconds to start one and to set its timer, the CPU time of
// one second in which all sleep, and the mappings of the process.
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include <socketserver/fiber.hpp>
#include <socketserver/socketserver.hpp>

namespace ss = socketserver;

namespace {

std::size_t count = 100'000;

double cpu_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double resident_bytes() {
    std::ifstream statm{"/proc/self/statm"};
    double size = 0;
    double resident = 0;
    statm >> size >> resident;
    return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

std::size_t mappings() {
    std::ifstream maps{"/proc/self/maps"};
    std::size_t lines = 0;
    for (std::string line; std::getline(maps, line);) ++lines;
    return lines;
}

class Sleepers : public ss::StreamRequestHandler {
    void handle() override {
        const double memory = resident_bytes();
        const double began = cpu_ns();
        std::vector<ss::Fiber> fibers;
        fibers.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            fibers.push_back(ss::spawn([] { ss::sleep_for(std::chrono::hours{1}); }));
        }
        ss::yield();  // each runs until it sleeps
        const double started = cpu_ns();
        ss::sleep_for(std::chrono::seconds{1});
        const double slept = cpu_ns();
        const auto per_fiber = [](double all) { return all / static_cast<double>(count); };
        std::printf("%zu fibers: %.0f B each, %.0f ns to start, %.3f ms CPU in 1 s, %zu mappings\n",
                    count, per_fiber(resident_bytes() - memory), per_fiber(started - began),
                    (slept - started) / 1e6, mappings());
        server().shutdown();  // ends them
    }
};

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1) count = std::strtoul(argv[1], nullptr, 10);
    ss::FiberTCPServer<Sleepers> server{{"127.0.0.1", 0}};
    server.workers = 1;
    std::thread serving{[&] { server.serve_forever(); }};
    const ss::Socket client = ss::create_connection(server.server_address());
    serving.join();
}
