// SPDX-License-Identifier: MIT
#include "socketserver/socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>
#include <utility>

#include "socketserver/errors.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"
#include "support/transfers.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::chrono_literals;

TEST_CASE("a socket without descriptor is closed") {
    Socket socket;
    CHECK_FALSE(socket.is_open());
    CHECK(socket.fileno() == -1);
    CHECK(error_of([&] { socket.recv(1); }) == EBADF);
    CHECK(error_of([&] { socket.sendall("x"); }) == EBADF);
    CHECK(error_of([&] { socket.getsockname(); }) == EBADF);
    CHECK(socket.detach() == -1);
    socket.close();
}

TEST_CASE("what is sent is received, and the end of stream is empty") {
    auto pair = tcp_pair();
    pair.near.sendall("hello");
    std::string five(5, '\0');
    CHECK(pair.far.recv_into(five) == 5);
    CHECK(five == "hello");
    CHECK(pair.far.send("back") == 4);
    CHECK(pair.near.recv(2) == "ba");
    CHECK(pair.near.recv(100) == "ck");
    pair.near.shutdown(ShutdownHow::write);
    CHECK(pair.far.recv(1).empty());
    pair.far.sendall("half open");
    CHECK(pair.near.recv(100) == "half open");
    pair.far.close();
    CHECK(pair.near.recv(1).empty());
    CHECK_FALSE(pair.near.peer_gone());
}

TEST_CASE("one thread receives while another sends") {
    auto pair = unix_pair();
    const bool timed = GENERATE(false, true);
    if (timed) pair.near.settimeout(longest_wait);
    std::string got;
    {
        const std::jthread reading{[&] { got = receive_all(pair.near); }};
        const std::jthread echo{[&] {
            pair.far.sendall(receive_all(pair.far));
            pair.far.shutdown(ShutdownHow::write);
        }};
        pair.near.sendall(std::string(1'000'000, 'x'));
        pair.near.shutdown(ShutdownHow::write);
    }
    CHECK((got == std::string(1'000'000, 'x')));
}

TEST_CASE("who asks for nothing does not wait, and gets nothing") {
    auto pair = GENERATE(false, true) ? tcp_pair() : unix_pair();
    CHECK(pair.near.recv(0).empty());
    CHECK(pair.near.recv_into({}) == 0);
    pair.far.sendall("hello");
    CHECK(pair.near.recv(0).empty());
    CHECK(pair.near.recv(100) == "hello");
}

TEST_CASE("recv of an enormous size does not reserve it") {
    auto pair = unix_pair();
    pair.near.sendall("x");
    CHECK(pair.far.recv(static_cast<std::size_t>(-1) / 2) == "x");
}

TEST_CASE("what is received is as large as what came, however much was asked for") {
    auto pair = tcp_pair();
    pair.near.sendall("hello");
    CHECK(pair.far.recv(65536).capacity() < 100);
    Socket receiver{Address{"127.0.0.1", 0}, SocketType::datagram};
    receiver.bind({"127.0.0.1", 0});
    create_connection(receiver.getsockname(), SocketType::datagram).sendall("hello");
    CHECK(receiver.recvfrom(65536).first.capacity() < 100);
}

TEST_CASE("sendall sends more than the kernel takes at once") {
    auto pair = unix_pair();
    const std::string data = pattern(5'000'000);
    Receiver receiver{pair.far};
    pair.near.sendall(data);
    pair.near.shutdown(ShutdownHow::write);
    CHECK((receiver.join() == data));
}

TEST_CASE("sendall goes on after short writes and signals") {
    auto pair = unix_pair();
    int calls = 0;
    const Scripted<&Calls::send> send{[&](int fd, const void* data, std::size_t size, int flags) {
        if (++calls % 2 == 0) return static_cast<ssize_t>(fail(EINTR));
        return sys::kernel.send(fd, data, std::min<std::size_t>(size, 3), flags);
    }};
    pair.near.sendall("0123456789");
    CHECK(pair.far.recv(100) == "0123456789");
    CHECK(calls == 7);
}

TEST_CASE("a signal interrupts no operation") {
    int left = 3;
    const auto interrupt = [&] { return left-- > 0; };
    auto pair = tcp_pair();

    SECTION("recv") {
        const Scripted<&Calls::recv> recv{[&](int fd, void* data, std::size_t size, int flags) {
            if (interrupt()) return static_cast<ssize_t>(fail(EINTR));
            return sys::kernel.recv(fd, data, size, flags);
        }};
        pair.near.sendall("x");
        CHECK(pair.far.recv(1) == "x");
    }
    SECTION("recvfrom and sendto") {
        const TemporaryFolder folder;
        Socket server{Address{folder / "s"}, SocketType::datagram};
        server.bind(folder / "s");
        const Scripted<&Calls::recvmsg> recvmsg{[&](int fd, msghdr* message, int flags) {
            if (interrupt()) return static_cast<ssize_t>(fail(EINTR));
            return sys::kernel.recvmsg(fd, message, flags);
        }};
        int sends = 0;
        const Scripted<&Calls::sendto> sendto{[&](auto... arguments) {
            if (++sends < 3) return static_cast<ssize_t>(fail(EINTR));
            return sys::kernel.sendto(arguments...);
        }};
        Socket client{Address{folder / "s"}, SocketType::datagram};
        client.sendto("x", folder / "s");
        CHECK(sends == 3);
        CHECK(server.recvfrom(10).first == "x");
    }
    SECTION("accept") {
        const Scripted<&Calls::accept4> accept{[&](auto... arguments) {
            return interrupt() ? fail(EINTR) : sys::kernel.accept4(arguments...);
        }};
        Socket listening = listening_on({"127.0.0.1", 0});
        const Socket client = create_connection(listening.getsockname());
        CHECK(listening.accept().second == client.getsockname());
    }
    SECTION("sendfile") {
        const Scripted<&Calls::sendfile> sendfile{[&](auto... arguments) {
            if (interrupt()) return static_cast<ssize_t>(fail(EINTR));
            return sys::kernel.sendfile(arguments...);
        }};
        const File file{"content"};
        CHECK(pair.near.sendfile(file.descriptor()) == 7);
        CHECK(pair.far.recv(100) == "content");
    }
    SECTION("connect: the attempt goes on without a second one") {
        int attempts = 0;
        const Scripted<&Calls::connect> connect{[&](auto... arguments) {
            ++attempts;
            sys::kernel.connect(arguments...);
            return fail(EINTR);
        }};
        const Scripted<&Calls::poll> poll{[&](auto... arguments) {
            return interrupt() ? fail(EINTR) : sys::kernel.poll(arguments...);
        }};
        Socket listening = listening_on({"127.0.0.1", 0});
        const Socket client = create_connection(listening.getsockname());
        CHECK(attempts == 1);
        CHECK(listening.accept().second == client.getsockname());
    }
    CHECK(left < 0);
}

TEST_CASE("a non-blocking descriptor that is adopted waits like any other") {
    auto pair = unix_pair();
    const int on = ::fcntl(pair.near.fileno(), F_GETFL) | O_NONBLOCK;
    REQUIRE(::fcntl(pair.near.fileno(), F_SETFL, on) == 0);
    const bool timed = GENERATE(false, true);
    if (timed) pair.near.settimeout(10s);
    std::atomic<bool> waits{false};
    const Scripted<&Calls::poll> poll{[&](auto... arguments) {
        waits = true;
        waits.notify_one();
        return sys::kernel.poll(arguments...);
    }};
    std::jthread later{[&] {
        waits.wait(false);
        pair.far.sendall("late");
    }};
    CHECK(pair.near.recv(10) == "late");
}

TEST_CASE("an operation leaves a non-blocking descriptor non-blocking") {
    Socket listening = listening_on({"127.0.0.1", 0});
    Socket client{listening.getsockname(), SocketType::stream};
    for (const Socket* socket : {&listening, &client}) {
        REQUIRE(::fcntl(socket->fileno(), F_SETFL, O_NONBLOCK) == 0);
    }
    listening.settimeout(longest_wait);
    client.connect(listening.getsockname());
    CHECK(listening.accept().first.is_open());
    const File file{"content"};
    client.sendfile(file.descriptor());
    for (const Socket* socket : {&listening, &client}) {
        CHECK((::fcntl(socket->fileno(), F_GETFL) & O_NONBLOCK) != 0);
    }
}

TEST_CASE("a peer that went away is remembered") {
    auto pair = tcp_pair();
    SECTION("reset while receiving") {
        reset(pair.far);
        CHECK(error_of([&] { pair.near.recv(1); }) == ECONNRESET);
        CHECK(pair.near.peer_gone());
    }
    SECTION("closed while sending, without a signal") {
        pair.far.close();
        int error = 0;
        while (error == 0) error = error_of([&] { pair.near.sendall(std::string(100'000, 'x')); });
        CHECK((error == EPIPE || error == ECONNRESET));
        CHECK(error_of([&] { pair.near.sendall("x"); }) == EPIPE);
        CHECK(pair.near.peer_gone());
    }
    SECTION("reset while sending a file, without a signal") {
        const File file{pattern(1'000'000)};
        reset(pair.far);
        int error = 0;
        while (error == 0) error = error_of([&] { pair.near.sendfile(file.descriptor()); });
        CHECK((error == EPIPE || error == ECONNRESET));
        CHECK(error_of([&] { pair.near.sendfile(file.descriptor()); }) == EPIPE);
        CHECK(pair.near.peer_gone());
        sigset_t pending;
        ::sigpending(&pending);
        CHECK(::sigismember(&pending, SIGPIPE) == 0);
        sigset_t blocked;
        ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
        CHECK(::sigismember(&blocked, SIGPIPE) == 0);
    }
    SECTION("another error says nothing about the peer") {
        const Scripted<&Calls::recv> recv{[](auto...) { return ssize_t{fail(ENOBUFS)}; }};
        CHECK(error_of([&] { pair.near.recv(1); }) == ENOBUFS);
        CHECK_FALSE(pair.near.peer_gone());
    }
}

TEST_CASE("an error names the operation and the address") {
    CHECK_THAT(text_of([] {
                   create_connection({"127.0.0.1", 1});
               }),
               Catch::Matchers::ContainsSubstring("connect to 127.0.0.1:1"));
    Socket socket;
    CHECK_THAT(text_of([&] { socket.recv(1); }), Catch::Matchers::StartsWith("recv"));
    CHECK_THAT(text_of([&] {
                   socket.sendto("", {"127.0.0.1", 1});
               }),
               Catch::Matchers::StartsWith("sendto 127.0.0.1:1"));
    CHECK_THAT(text_of([] {
                   const Scripted<&Calls::socket> none{[](auto...) { return fail(EMFILE); }};
                   const Socket no{Address{"::1", 1}, SocketType::stream};
               }),
               Catch::Matchers::ContainsSubstring("[::1]:1"));
    Socket first = listening_on({"127.0.0.1", 0});
    const std::string text = text_of([&] { listening_on(first.getsockname()); });
    CHECK_THAT(text, Catch::Matchers::ContainsSubstring("bind " + first.getsockname().to_string()));
    CHECK_THAT(text, Catch::Matchers::ContainsSubstring("holds the port"));
}

TEST_CASE("datagrams carry their sender") {
    const Address any{"127.0.0.1", 0};
    Socket server{any, SocketType::datagram};
    server.bind(any);
    Socket client = create_connection(server.getsockname(), SocketType::datagram);
    client.sendall("ping");
    client.sendall("");
    const auto [data, peer] = server.recvfrom(100);
    CHECK(data == "ping");
    CHECK(peer == client.getsockname());
    CHECK(server.recvfrom(100).first.empty());
    server.sendto("pong", peer);
    CHECK(client.recv(100) == "pong");
}

TEST_CASE("a Unix datagram client can be answered") {
    const TemporaryFolder folder;
    Socket server{Address{folder / "s"}, SocketType::datagram};
    server.bind(folder / "s");
    Socket client = create_connection(folder / "s", SocketType::datagram);
    client.sendall("ping");
    const auto [data, peer] = server.recvfrom(100);
    REQUIRE(peer.is_unix());
    CHECK(peer.path().front() == '@');
    CHECK(peer == client.getsockname());
    server.sendto("pong", peer);
    CHECK(client.recv(100) == "pong");

    Socket nameless{Address{folder / "s"}, SocketType::datagram};
    nameless.sendto("x", folder / "s");
    CHECK(server.recvfrom(100).second.empty());
}

TEST_CASE("every descriptor is close-on-exec") {
    const TemporaryFolder folder;
    Socket listening = listening_on(folder / "s");
    const Socket client = create_connection(folder / "s");
    const auto [accepted, peer] = listening.accept();
    const Socket datagram{Address{"::1", 0}, SocketType::datagram};
    CHECK(is_close_on_exec(listening.fileno()));
    CHECK(is_close_on_exec(client.fileno()));
    CHECK(is_close_on_exec(accepted.fileno()));
    CHECK(is_close_on_exec(datagram.fileno()));
}

TEST_CASE("a socket owns its descriptor") {
    auto pair = unix_pair();
    const int descriptor = pair.near.fileno();
    SECTION("the destructor and close() close it, once") {
        int closed = 0;
        const Scripted<&Calls::close> close{[&](int fd) {
            closed += fd == descriptor ? 1 : 0;
            return sys::kernel.close(fd);
        }};
        {
            Socket socket = std::move(pair.near);
            socket.close();
            socket.close();
            CHECK_FALSE(socket.is_open());
        }
        CHECK(closed == 1);
        CHECK_FALSE(is_open(descriptor));
    }
    SECTION("moving takes it with all that belongs to it") {
        pair.near.settimeout(20ms);
        Socket moved = std::move(pair.near);
        CHECK_FALSE(pair.near.is_open());  // NOLINT(bugprone-use-after-move)
        CHECK_FALSE(pair.near.gettimeout().has_value());
        CHECK(moved.fileno() == descriptor);
        CHECK(moved.gettimeout() == 20ms);
        CHECK_THROWS_AS(moved.recv(1), TimeoutError);

        const int other = pair.far.fileno();
        pair.far = std::move(moved);
        CHECK(pair.far.fileno() == descriptor);
        CHECK_FALSE(is_open(other));

        Socket& self = pair.far;
        pair.far = std::move(self);
        CHECK(pair.far.fileno() == descriptor);
        CHECK(is_open(descriptor));
    }
    SECTION("detach gives it away") {
        CHECK(pair.near.detach() == descriptor);
        CHECK_FALSE(pair.near.is_open());
        pair.near.close();
        CHECK(is_open(descriptor));
        ::close(descriptor);
    }
}

TEST_CASE("close is not repeated when a signal interrupts it") {
    auto pair = unix_pair();
    int calls = 0;
    const Scripted<&Calls::close> close{[&](int fd) {
        ++calls;
        sys::kernel.close(fd);
        return fail(EINTR);
    }};
    pair.near.close();
    CHECK(calls == 1);
}

TEST_CASE("set_nodelay is for TCP and nothing elsewhere") {
    auto pair = tcp_pair();
    pair.near.set_nodelay(true);
    int value = 0;
    socklen_t size = sizeof value;
    REQUIRE(::getsockopt(pair.near.fileno(), IPPROTO_TCP, TCP_NODELAY, &value, &size) == 0);
    CHECK(value != 0);
    pair.near.set_nodelay(false);
    REQUIRE(::getsockopt(pair.near.fileno(), IPPROTO_TCP, TCP_NODELAY, &value, &size) == 0);
    CHECK(value == 0);

    unix_pair().near.set_nodelay(true);
    Socket{Address{"127.0.0.1", 0}, SocketType::datagram}.set_nodelay(true);
    CHECK(error_of([] { Socket{}.set_nodelay(true); }) == EBADF);
}

TEST_CASE("whether the peer has ended its side is asked, and without waiting") {
    auto pair = GENERATE(0, 1) == 0 ? tcp_pair() : unix_pair();
    CHECK_FALSE(pair.near.peer_has_ended());
    pair.far.sendall("input");
    CHECK_FALSE(pair.near.peer_has_ended());
    SECTION("in order, with input left") {
        pair.far.shutdown(ShutdownHow::write);
        CHECK(pair.near.peer_has_ended());
        CHECK(pair.near.recv(5) == "input");
    }
    SECTION("closed") { pair.far.close(); }
    SECTION("reset") { reset(pair.far); }
    CHECK(pair.near.peer_has_ended());
    CHECK_FALSE(pair.near.peer_gone());  // no operation has met it
    pair.near.close();
    CHECK(error_of([&] { static_cast<void>(pair.near.peer_has_ended()); }) != 0);
}
