// SPDX-License-Identifier: MIT
#include "socketserver/testing.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <thread>

#include "io/socket_error.hpp"
#include "os/sys.hpp"

namespace socketserver::detail {

namespace {

std::pair<Socket, Socket> socket_pair(int type) {
    std::array<int, 2> ends{};
    if (sys::calls.socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()) == -1) {
        throw_system_error("socketpair");
    }
    return {Socket{ends[0]}, Socket{ends[1]}};
}

}  // namespace

struct TestClient::State {
    explicit State(std::pair<Socket, Socket> ends)
        : socket{std::move(ends.first)}, request{std::move(ends.second)} {}

    void send_some(std::string_view& input);
    bool receive_some();
    void run(std::string_view input);

    Socket socket;
    Socket request;
    std::string output;
    std::thread thread;
};

void TestClient::State::send_some(std::string_view& input) {
    const ssize_t sent =
        ::send(socket.fileno(), input.data(), input.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) input.remove_prefix(static_cast<std::size_t>(sent));
    // The handler may end without reading all of its input.
    if (sent == -1 && errno != EAGAIN && errno != EINTR) input = {};
}

bool TestClient::State::receive_some() {
    std::array<char, 16384> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    const ssize_t received = ::recv(socket.fileno(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (received > 0) output.append(buffer.data(), static_cast<std::size_t>(received));
    // Input that the handler left unread makes the kernel end the connection with an error.
    return received > 0 || (received == -1 && (errno == EAGAIN || errno == EINTR));
}

void TestClient::State::run(std::string_view input) {
    bool sending = true;
    for (;;) {
        if (sending && input.empty()) {
            ::shutdown(socket.fileno(), SHUT_WR);
            sending = false;
        }
        pollfd ready{socket.fileno(), static_cast<short>(sending ? POLLIN | POLLOUT : POLLIN), 0};
        if (::poll(&ready, 1, -1) == -1) continue;  // EINTR
        if ((ready.revents & POLLOUT) != 0) send_some(input);
        if ((ready.revents & ~POLLOUT) != 0 && !receive_some()) return;
    }
}

TestClient::TestClient(std::string_view input)
    : state_{std::make_unique<State>(socket_pair(SOCK_STREAM))} {
    state_->thread = std::thread{[state = state_.get(), input] { state->run(input); }};
}

TestClient::~TestClient() {
    if (state_->thread.joinable()) output();
}

Socket& TestClient::request() noexcept { return state_->request; }

std::string TestClient::output() {
    state_->request.close();
    // The handler may have given its end, or a duplicate of it, to an object that keeps it open.
    ::shutdown(state_->socket.fileno(), SHUT_RDWR);
    state_->thread.join();
    return std::move(state_->output);
}

// SOCK_DGRAM is not used here: of the socket types that keep message boundaries, only the one below
// accepts any destination.
TestDatagramClient::TestDatagramClient(std::string_view datagram) {
    auto [client, server] = socket_pair(SOCK_SEQPACKET);
    client_ = std::move(client);
    // Nobody receives the replies while the handler runs, so too many replies must be an error
    // rather than a deadlock.
    server.settimeout(std::chrono::nanoseconds{0});
    request_ = Datagram{std::string{datagram}, false, std::make_shared<Socket>(std::move(server))};
}

std::optional<std::string> TestDatagramClient::reply() {
    std::string data(65536, '\0');
    const ssize_t received = ::recv(client_.fileno(), data.data(), data.size(), MSG_DONTWAIT);
    if (received == -1 && errno == EAGAIN) return {};
    if (received == -1) throw_system_error("recv");
    data.resize(static_cast<std::size_t>(received));
    return data;
}

}  // namespace socketserver::detail
