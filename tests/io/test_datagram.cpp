// SPDX-License-Identifier: MIT
#include "socketserver/datagram.hpp"

#include <memory>
#include <string>
#include <utility>

#include "socketserver/detail/server/get_request.hpp"
#include "socketserver/tcp_server.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using detail::receive_request;

namespace {

std::shared_ptr<Socket> bound_to(const Address& address) {
    auto socket = std::make_shared<Socket>(address, SocketType::datagram);
    socket->bind(address);
    return socket;
}

}  // namespace

TEST_CASE("a datagram is its bytes and the socket to answer with") {
    const auto socket = bound_to({"127.0.0.1", 0});
    Datagram datagram{"bytes", true, socket};
    CHECK(datagram.data() == "bytes");
    CHECK(datagram.truncated());
    CHECK(&datagram.socket() == socket.get());

    const Datagram moved = std::move(datagram);
    CHECK(moved.data() == "bytes");
    CHECK(Datagram{}.data().empty());
    CHECK_FALSE(Datagram{}.truncated());
}

TEST_CASE("the socket stays open while a datagram refers to it") {
    auto socket = bound_to({"127.0.0.1", 0});
    const int descriptor = socket->fileno();
    {
        const Datagram datagram{"", false, std::exchange(socket, nullptr)};
        CHECK(is_open(descriptor));
    }
    CHECK_FALSE(is_open(descriptor));
}

TEST_CASE("receive_request tells who sent what, and whether it was cut") {
    const auto server = bound_to({"127.0.0.1", 0});
    CHECK_FALSE(receive_request(server, 10).has_value());

    Socket client = create_connection(server->getsockname(), SocketType::datagram);
    for (const std::string text : {"0123456789", "0123456789a", ""}) client.sendall(text);
    const auto exact = receive_request(server, 10);
    REQUIRE(exact.has_value());
    CHECK(exact->first.data() == "0123456789");
    CHECK_FALSE(exact->first.truncated());
    CHECK(exact->second == client.getsockname());
    CHECK(&exact->first.socket() == server.get());
    const auto longer = receive_request(server, 10);
    REQUIRE(longer.has_value());
    CHECK(longer->first.data() == "0123456789");
    CHECK(longer->first.truncated());
    const auto empty = receive_request(server, 10);
    REQUIRE(empty.has_value());
    CHECK(empty->first.data().empty());
    CHECK_FALSE(empty->first.truncated());
    CHECK_FALSE(receive_request(server, 10).has_value());
}

TEST_CASE("the largest UDP datagram arrives whole") {
    const auto server = bound_to({"127.0.0.1", 0});
    Socket client = create_connection(server->getsockname(), SocketType::datagram);
    const std::string largest(65507, 'd');
    client.sendall(largest);
    const auto request = receive_request(server, 65535);
    REQUIRE(request.has_value());
    CHECK((request->first.data() == largest));
    CHECK_FALSE(request->first.truncated());
    CHECK(error_of([&] { client.sendall(largest + 'd'); }) == EMSGSIZE);
}

TEST_CASE("a Unix client without a name has no address") {
    const TemporaryFolder folder;
    const auto server = bound_to(folder / "s");
    Socket nameless{Address{folder / "s"}, SocketType::datagram};
    nameless.sendto("x", folder / "s");
    const auto request = receive_request(server, 10);
    REQUIRE(request.has_value());
    CHECK(request->second.empty());
}

TEST_CASE("receive_request goes on after signals and throws what else comes") {
    const auto server = bound_to({"127.0.0.1", 0});
    int error = EINTR;
    const Scripted<&Calls::recvmsg> recvmsg{[&](auto... arguments) {
        if (const int now = std::exchange(error, 0)) return static_cast<ssize_t>(fail(now));
        return sys::kernel.recvmsg(arguments...);
    }};
    CHECK_FALSE(receive_request(server, 10).has_value());
    error = ENOBUFS;
    CHECK(error_of([&] { receive_request(server, 10); }) == ENOBUFS);
}

TEST_CASE("get_request() of a connection transport takes the next connection, or none") {
    const auto listening = std::make_shared<Socket>(listening_on({"127.0.0.1", 0}));
    const auto accept_request = [&] { return TCPTransport{}.get_request(listening, {}); };
    REQUIRE(::fcntl(listening->fileno(), F_SETFL, O_NONBLOCK) == 0);
    CHECK_FALSE(accept_request().has_value());

    const Socket client = create_connection(listening->getsockname());
    int error = EINTR;
    const Scripted<&Calls::accept4> accept{[&](auto... arguments) {
        if (const int now = std::exchange(error, 0)) return fail(now);
        return sys::kernel.accept4(arguments...);
    }};
    const auto request = accept_request();
    REQUIRE(request.has_value());
    CHECK(request->second == client.getsockname());
    CHECK(is_close_on_exec(request->first.fileno()));
    CHECK((::fcntl(request->first.fileno(), F_GETFL) & O_NONBLOCK) == 0);
    error = EMFILE;
    CHECK(error_of([&] { accept_request(); }) == EMFILE);
}
