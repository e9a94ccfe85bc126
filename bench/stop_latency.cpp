// SPDX-License-Identifier: MIT
// How long it takes to stop an idle server: from shutdown() until the serving thread has been
// joined. Prints one line per policy: name, median and maximum in milliseconds.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string_view>
#include <thread>
#include <vector>

#include <socketserver/socketserver.hpp>

namespace ss = socketserver;

namespace {

constexpr std::size_t repetitions = 100;

class SilentHandler : public ss::BaseRequestHandler<> {
    void handle() override {}
};

template <template <class> class MixIn>
double stop_once() {
    using Clock = std::chrono::steady_clock;
    ss::TCPServer<SilentHandler, MixIn> server{{"127.0.0.1", 0}};
    std::thread serving{[&] { server.serve_forever(); }};
    // The server must be asleep: what is measured is how it is woken.
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
    const auto asked = Clock::now();
    server.shutdown();
    serving.join();
    return std::chrono::duration<double, std::milli>{Clock::now() - asked}.count();
}

template <template <class> class MixIn>
void measure(const char* policy) {
    std::vector<double> times;
    for (std::size_t i = 0; i < repetitions; ++i) times.push_back(stop_once<MixIn>());
    std::sort(times.begin(), times.end());
    std::printf("%s %.4f %.4f\n", policy, times[repetitions / 2], times.back());
}

}  // namespace

int main() {
    measure<ss::SynchronousMixIn>("sync");
    measure<ss::ThreadingMixIn>("threading");
    measure<ss::ForkingMixIn>("forking");
}
