// SPDX-License-Identifier: MIT
// A transport of one's own: Unix sockets of type SOCK_SEQPACKET, whose connections keep the
// boundaries of messages. own_transport <policy> <path> answers each packet with its size and the
// packet. SIGTERM drains the server, SIGINT stops it.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace ss = socketserver;

// [own_transport]
class PacketTransport final : public ss::ConnectionTransport {
  public:
    int socket_type() const noexcept override { return SOCK_SEQPACKET; }

    void check_address(const ss::Address& address) const override {
        if (address.is_unix()) return;
        throw std::system_error(std::make_error_code(std::errc::address_family_not_supported),
                                "a packet server takes a path, not " + address.to_string());
    }

    ss::Socket open(const ss::Address&) const override {
        ss::Socket socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
        if (socket.is_open()) return socket;
        throw std::system_error(errno, std::system_category(), "create a packet socket");
    }

    // For drain(): whoever connects from now on is refused; who is in the queue stays there.
    void stop_queueing(const ss::Socket& socket) const noexcept override {
        ::shutdown(socket.fileno(), SHUT_RD);
    }
};

template <class Handler, template <class> class MixIn = ss::SynchronousMixIn>
using PacketServer = ss::TransportServer<Handler, MixIn, PacketTransport>;

/// Each recv() is a packet. An empty one ends the conversation: it cannot be told from the end.
class SizeHandler : public ss::BaseRequestHandler<> {
    void handle() override {
        for (;;) {
            const std::string packet = request().recv(largest_packet);
            if (packet.empty()) return;
            request().sendall(fmt::format("{} {}", packet.size(), packet));
        }
    }

    static constexpr std::size_t largest_packet = 65536;
};
// [own_transport]

template <template <class> class MixIn>
void serve(const char* path) {
    PacketServer<SizeHandler, MixIn> server{path};
    const ss::ShutdownOnSignal drain{server, ss::DrainFor{std::chrono::seconds{5}}, {SIGTERM}};
    const ss::ShutdownOnSignal stop{server, {SIGINT}};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}

void serve_by(std::string_view policy, const char* path) {
    if (policy == "synchronous") return serve<ss::SynchronousMixIn>(path);
    if (policy == "threading") return serve<ss::ThreadingMixIn>(path);
    if (policy == "forking") return serve<ss::ForkingMixIn>(path);
    if (policy == "pool") return serve<ss::ThreadPoolMixIn>(path);
    if (policy == "prefork") return serve<ss::PreforkMixIn>(path);
#ifdef HAVE_FIBERS  // the program is linked with socketserver::fiber
    if (policy == "fiber") return serve<ss::FiberMixIn>(path);
#endif
    throw std::invalid_argument("no such policy");
}

int main(int argc, char** argv) {
    try {
        serve_by(argc > 1 ? argv[1] : "threading", argc > 2 ? argv[2] : "/tmp/packets.sock");
    } catch (const std::exception& error) {
        fmt::print(stderr, "own_transport: {}\n", error.what());
        return 2;
    }
}
