// SPDX-License-Identifier: MIT
// How many bytes a relay between two TCP connections passes on in a second of its CPU time:
// relay(), beside recv(2) and send(2) by hand: relay_throughput [MEGABYTES [BYTES-PER-WRITE]]
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>
#include <sys/socket.h>

#include <socketserver/socketserver.hpp>

namespace {

namespace ss = socketserver;

struct Connection {
    ss::Socket near;
    ss::Socket far;
};

Connection connection() {
    ss::Socket listening{ss::Address{"127.0.0.1", 0}, ss::SocketType::stream};
    listening.bind({"127.0.0.1", 0});
    listening.listen(1);
    ss::Socket near = ss::create_connection(listening.getsockname());
    return {std::move(near), listening.accept().first};
}

double cpu_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void wait_for(int fd, short events) {
    pollfd entry{fd, events, 0};
    ::poll(&entry, 1, -1);
}

/// One direction is enough for what is measured.
void copy_by_hand(ss::Socket& from, ss::Socket& to) {
    std::vector<char> buffer(std::size_t{64} * 1024);
    for (;;) {
        const ssize_t got = ::recv(from.fileno(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got == 0) break;
        if (got == -1) wait_for(from.fileno(), POLLIN);
        for (ssize_t sent = 0; sent < got;) {
            const ssize_t more =
                ::send(to.fileno(), buffer.data() + sent, static_cast<std::size_t>(got - sent),
                       MSG_DONTWAIT | MSG_NOSIGNAL);
            if (more == -1) {
                wait_for(to.fileno(), POLLOUT);
            } else {
                sent += more;
            }
        }
    }
    to.shutdown(ss::ShutdownHow::write);
}

double gigabytes_per_second(std::size_t bytes, std::size_t each,
                            const std::function<void(ss::Socket&, ss::Socket&)>& pass_on) {
    Connection in = connection();
    Connection out = connection();
    std::jthread source{[&] {
        const std::string data(each, 'x');
        for (std::size_t sent = 0; sent < bytes; sent += each) in.near.sendall(data);
        in.near.shutdown(ss::ShutdownHow::write);
    }};
    std::jthread sink{[&] {
        std::vector<char> buffer(std::size_t{256} * 1024);
        while (::recv(out.far.fileno(), buffer.data(), buffer.size(), 0) > 0) {
        }
        out.far.shutdown(ss::ShutdownHow::write);
    }};
    const double before = cpu_seconds();
    pass_on(in.far, out.near);
    return static_cast<double>(bytes) / (cpu_seconds() - before) / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
    const auto bytes = static_cast<std::size_t>(argc > 1 ? std::atoi(argv[1]) : 1000) * 1'000'000;
    const auto each = static_cast<std::size_t>(argc > 2 ? std::atoi(argv[2]) : 65536);
    for (int round = 0; round < 3; ++round) {
        const double copied = gigabytes_per_second(bytes, each, copy_by_hand);
        const double relayed = gigabytes_per_second(
            bytes, each, [](ss::Socket& a, ss::Socket& b) { ss::relay(a, b); });
        std::printf("recv and send: %.2f GB per CPU second, relay(): %.2f, ratio %.2f\n", copied,
                    relayed, relayed / copied);
    }
}
