// SPDX-License-Identifier: MIT
#include <fcntl.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "socketserver/errors.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::chrono_literals;

TEST_CASE("create_connection tries every address of a name") {
    std::vector<std::uint16_t> families;
    int refuse = 0;
    const Scripted<&Calls::connect> connect{[&](int, const sockaddr* address, socklen_t) {
        families.push_back(address->sa_family);
        return static_cast<int>(families.size()) <= refuse ? fail(ECONNREFUSED) : 0;
    }};
    const auto candidates = Address{"localhost", 80}.resolve();
    const int all = static_cast<int>(candidates.size());
    SECTION("until one answers") {
        refuse = all - 1;
        CHECK(create_connection({"localhost", 80}).is_open());
    }
    SECTION("and tells the last error when none does") {
        refuse = all;
        const std::string text = text_of([] { create_connection({"localhost", 80}); });
        CHECK_THAT(text, Catch::Matchers::ContainsSubstring("connect to " +
                                                            candidates.back().to_string()));
    }
    CHECK(families.size() == candidates.size());
}

TEST_CASE("a connection that is not answered in time") {
    auto socket = Socket{Address{"127.0.0.1", 0}, SocketType::stream};
    const Scripted<&Calls::connect> connect{[](auto...) { return fail(EINPROGRESS); }};
    const Scripted<&Calls::poll> poll{[](pollfd*, nfds_t, int milliseconds) {
        std::this_thread::sleep_for(std::chrono::milliseconds{milliseconds});
        return 0;
    }};
    CHECK_THROWS_AS(create_connection({"127.0.0.1", 80}, SocketType::stream, 20ms), TimeoutError);
    socket.settimeout(0s);
    CHECK(error_of([&] { socket.connect({"127.0.0.1", 80}); }) == EAGAIN);
    CHECK((::fcntl(socket.fileno(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("a Unix server whose queue is full is waited for") {
    const TemporaryFolder folder;
    const Address address = folder / "s";
    Socket listening{address, SocketType::stream};
    listening.bind(address);
    listening.listen(0);
    std::vector<Socket> waiting;
    const auto flood = [&](std::chrono::nanoseconds timeout) {
        for (;;) waiting.push_back(create_connection(address, SocketType::stream, timeout));
    };
    CHECK(error_of([&] { flood(0s); }) == EAGAIN);
    const Stopwatch watch;
    CHECK_THROWS_AS(flood(20ms), TimeoutError);
    CHECK(watch.elapsed() >= 20ms);

    std::atomic<bool> refused{false};
    const Scripted<&Calls::connect> connect{[&](auto... arguments) {
        const int result = sys::kernel.connect(arguments...);
        if (result == -1 && !refused.exchange(true)) refused.notify_one();
        return result;
    }};
    std::jthread accepting{[&] {
        refused.wait(false);
        listening.accept();
    }};
    CHECK(create_connection(address, SocketType::stream, longest_wait).is_open());
}
