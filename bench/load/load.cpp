// SPDX-License-Identifier: MIT
// The load client of the benchmark. It checks every byte of every reply, ends with a status other
// than zero on the first error, and prints one line of JSON.
#include "client.hpp"
#include "server_process.hpp"

#include <cstdio>
#include <sys/resource.h>

namespace load {
namespace {

void raise_descriptor_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

void measure_requests(const Options& options) {
    const ServerProcess server{options.server_pid};
    Client client{options};
    client.next = options.mode == Mode::connect ? Client::Next::reconnect : Client::Next::repeat;
    client.open_all();
    client.run_for(options.warmup);

    client.latency = {};
    client.requests = 0;
    const std::int64_t cpu_before = server.cpu_ns();
    const std::int64_t began = now_ns();
    const std::int64_t end = began + static_cast<std::int64_t>(options.seconds * 1e9);
    while (now_ns() < end && (options.requests == 0 || client.requests < options.requests)) {
        client.step();
    }
    const std::int64_t took = now_ns() - began;
    const std::int64_t cpu = server.cpu_ns() - cpu_before;
    const std::uint64_t requests = client.requests;
    client.next = Client::Next::close;
    client.drain();

    std::printf(
        "{\"requests\": %llu, \"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
        "\"max_us\": %.1f, \"errors\": 0, \"server_cpu_ns\": %lld}\n",
        static_cast<unsigned long long>(requests), static_cast<double>(took) / 1e9,
        client.latency.quantile_us(0.5), client.latency.quantile_us(0.99), client.latency.max_us(),
        static_cast<long long>(cpu));
}

// Every connection is proved alive by a reply when it is opened and by another before it is closed.
void measure_idle(const Options& options) {
    const ServerProcess server{options.server_pid};
    const std::int64_t memory_before = server.resident_bytes();
    Client client{options};
    client.next = Client::Next::rest;
    client.open_all();

    const std::int64_t cpu_before = server.cpu_ns();
    const std::int64_t began = now_ns();
    const auto elapsed = [&] { return static_cast<double>(now_ns() - began) / 1e9; };
    std::uint64_t turns = 0;
    for (double at = 0; (at = elapsed()) < options.seconds; client.step()) {
        if (options.every == 0) continue;
        for (const double due = at / options.every * options.connections;
             static_cast<double>(turns) < due; ++turns) {
            if (turns >= options.connections) client.drain();  // its turn before must be over
            client.start_turn(static_cast<std::uint32_t>(turns % options.connections));
        }
    }
    client.drain();
    const std::int64_t cpu = server.cpu_ns() - cpu_before;
    const std::int64_t memory = server.resident_bytes() - memory_before;
    for (std::uint32_t i = 0; i < options.connections; ++i) {
        client.start_turn(i);
        client.step();
    }
    client.drain();

    std::printf(
        "{\"connections\": %u, \"seconds\": %.6f, \"requests\": %llu, \"p50_us\": %.1f, "
        "\"p99_us\": %.1f, \"max_us\": %.1f, \"errors\": 0, \"server_cpu_ns\": %lld, "
        "\"server_rss_bytes\": %lld, \"rss_per_connection\": %.1f}\n",
        options.connections, elapsed(), static_cast<unsigned long long>(client.requests),
        client.latency.quantile_us(0.5), client.latency.quantile_us(0.99), client.latency.max_us(),
        static_cast<long long>(cpu), static_cast<long long>(memory),
        static_cast<double>(memory) / options.connections);
}

}  // namespace
}  // namespace load

int main(int argc, char** argv) {
    const load::Options options = load::parse(argc, argv);
    load::raise_descriptor_limit();
    if (options.mode == load::Mode::idle) {
        load::measure_idle(options);
    } else {
        load::measure_requests(options);
    }
}
