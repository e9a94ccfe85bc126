// SPDX-License-Identifier: MIT
#include "socketserver/socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/time.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "connected_sockets.hpp"
#include "scripted_sys.hpp"
#include "socketserver/errors.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::chrono_literals;

namespace {

/// Far more than any test takes: only what never ends meets it.
constexpr auto too_long = 20s;

/// Signals this process every two milliseconds, and none of its system calls is restarted.
class SignalStorm {
  public:
    SignalStorm() {
        struct sigaction counting {};
        counting.sa_handler = [](int) { count_ = count_ + 1; };
        ::sigaction(SIGALRM, &counting, &before_);
        count_ = 0;
        set(2000);
    }
    SignalStorm(const SignalStorm&) = delete;
    SignalStorm& operator=(const SignalStorm&) = delete;
    ~SignalStorm() {
        set(0);
        ::sigaction(SIGALRM, &before_, nullptr);
    }
    static int count() { return count_; }

  private:
    static void set(suseconds_t each) {
        const itimerval timer{.it_interval = {0, each}, .it_value = {0, each}};
        ::setitimer(ITIMER_REAL, &timer, nullptr);
    }
    struct sigaction before_ {};
    static inline volatile std::sig_atomic_t count_ = 0;
};

/// A file with known content.
class File {
  public:
    explicit File(std::string content) : content_{std::move(content)} {
        std::ofstream{folder_ / "file"} << content_;
        descriptor_ = ::open((folder_ / "file").c_str(), O_RDONLY | O_CLOEXEC);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() { ::close(descriptor_); }
    int descriptor() const { return descriptor_; }
    const std::string& content() const { return content_; }

  private:
    std::string content_;
    TemporaryFolder folder_;
    int descriptor_ = -1;
};

std::string pattern(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
    return text;
}

/// Receives all in a thread of its own, until the end of stream.
class Receiver {
  public:
    explicit Receiver(Socket& socket) : thread_{[this, &socket] { data_ = receive_all(socket); }} {}
    std::string join() {
        thread_.join();
        return std::move(data_);
    }

  private:
    std::string data_;
    std::jthread thread_;
};

}  // namespace

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
    if (timed) pair.near.settimeout(too_long);
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

TEST_CASE("recv of an enormous size does not reserve it") {
    auto pair = unix_pair();
    pair.near.sendall("x");
    CHECK(pair.far.recv(static_cast<std::size_t>(-1) / 2) == "x");
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

TEST_CASE("no timeout, zero, and a positive one") {
    auto pair = unix_pair();
    CHECK_FALSE(pair.near.gettimeout().has_value());

    pair.near.settimeout(0s);
    CHECK(pair.near.gettimeout() == 0ns);
    CHECK(error_of([&] { pair.near.recv(1); }) == EAGAIN);
    fill(pair.near);
    CHECK(error_of([&] { pair.near.sendall("x"); }) == EAGAIN);

    pair.near.settimeout(20ms);
    CHECK(pair.near.gettimeout() == 20ms);
    const Stopwatch watch;
    CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
    CHECK_THROWS_AS(pair.near.sendall("x"), TimeoutError);
    CHECK(watch.elapsed() >= 40ms);
    CHECK(watch.elapsed() < too_long);
    CHECK_FALSE(pair.near.peer_gone());

    pair.near.settimeout({});
    CHECK_FALSE(pair.near.gettimeout().has_value());
    std::jthread later{[&] {
        std::this_thread::sleep_for(40ms);  // longer than the timeout that is no more
        pair.far.sendall("late");
    }};
    CHECK(pair.near.recv(10) == "late");
}

TEST_CASE("a timeout that is not over does no harm") {
    auto pair = unix_pair();
    pair.near.settimeout(std::chrono::hours{24 * 365 * 200});
    pair.far.sendall("x");
    CHECK(pair.near.recv(1) == "x");
    pair.near.settimeout(1ns);
    pair.far.sendall("y");
    CHECK(pair.near.recv(1) == "y");
    CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
}

TEST_CASE("accept, recvfrom, sendto and sendfile keep the timeout") {
    SECTION("accept") {
        Socket listening = listening_on({"127.0.0.1", 0});
        listening.settimeout(0s);
        CHECK(error_of([&] { listening.accept(); }) == EAGAIN);
        listening.settimeout(20ms);
        const Stopwatch watch;
        CHECK_THROWS_AS(listening.accept(), TimeoutError);
        CHECK(watch.elapsed() >= 20ms);

        const Socket client = create_connection(listening.getsockname());
        listening.settimeout(10s);
        auto [accepted, peer] = listening.accept();
        CHECK(peer == client.getsockname());
        CHECK_FALSE(accepted.gettimeout().has_value());
        CHECK((::fcntl(listening.fileno(), F_GETFL) & O_NONBLOCK) == 0);
    }
    SECTION("recvfrom") {
        Socket socket{Address{"127.0.0.1", 0}, SocketType::datagram};
        socket.bind({"127.0.0.1", 0});
        socket.settimeout(0s);
        CHECK(error_of([&] { socket.recvfrom(1); }) == EAGAIN);
        socket.settimeout(20ms);
        const Stopwatch watch;
        CHECK_THROWS_AS(socket.recvfrom(1), TimeoutError);
        CHECK(watch.elapsed() >= 20ms);
    }
    SECTION("sendto") {
        const TemporaryFolder folder;
        Socket deaf{Address{folder / "s"}, SocketType::datagram};
        deaf.bind(folder / "s");
        Socket socket{Address{folder / "s"}, SocketType::datagram};
        socket.settimeout(0s);
        const auto flood = [&] {
            for (;;) socket.sendto("x", folder / "s");
        };
        CHECK(error_of(flood) == EAGAIN);
        int attempts = 0;
        const Scripted<&Calls::sendto> sendto{[&](auto... arguments) {
            ++attempts;
            return sys::kernel.sendto(arguments...);
        }};
        socket.settimeout(20ms);
        const Stopwatch watch;
        CHECK_THROWS_AS(flood(), TimeoutError);
        CHECK(watch.elapsed() >= 20ms);
        CHECK(attempts < 100);  // it does not spin
    }
    SECTION("sendfile") {
        auto pair = tcp_pair();
        const File file{pattern(20'000'000)};
        pair.near.settimeout(20ms);
        const Stopwatch watch;
        CHECK_THROWS_AS(pair.near.sendfile(file.descriptor()), TimeoutError);
        CHECK(watch.elapsed() >= 20ms);
        pair.near.settimeout(0s);
        CHECK(error_of([&] { pair.near.sendfile(file.descriptor()); }) == EAGAIN);
    }
}

TEST_CASE("a timeout is for the whole of sendall, however the peer trickles") {
    auto pair = unix_pair();
    int sent = 0;
    bool is_full = false;
    const Scripted<&Calls::send> send{[&](int, const void*, std::size_t, int flags) {
        if ((flags & MSG_DONTWAIT) == 0) {
            std::this_thread::sleep_for(30ms);
        } else if (is_full = !is_full; is_full) {
            return static_cast<ssize_t>(fail(EAGAIN));
        }
        ++sent;
        return ssize_t{1};
    }};
    const Scripted<&Calls::poll> poll{[](pollfd*, nfds_t, int milliseconds) {
        std::this_thread::sleep_for(std::chrono::milliseconds{std::min(milliseconds, 15)});
        return milliseconds > 0 ? 1 : 0;
    }};
    pair.near.settimeout(50ms);
    const Stopwatch watch;
    CHECK_THROWS_AS(pair.near.sendall(std::string(40, 'x')), TimeoutError);
    CHECK(watch.elapsed() >= 50ms);
    CHECK(sent < 10);
}

TEST_CASE("a storm of signals neither shortens nor prolongs a timeout") {
    auto pair = unix_pair();
    fill(pair.near);
    pair.near.settimeout(60ms);
    Socket listening = listening_on({"127.0.0.1", 0});
    listening.settimeout(60ms);

    const SignalStorm storm;
    const Stopwatch watch;
    CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
    CHECK(watch.elapsed() >= 60ms);
    CHECK_THROWS_AS(pair.near.sendall("x"), TimeoutError);
    CHECK(watch.elapsed() >= 120ms);
    CHECK_THROWS_AS(listening.accept(), TimeoutError);
    CHECK(watch.elapsed() >= 180ms);
    CHECK(watch.elapsed() < too_long);
    CHECK(SignalStorm::count() > 0);
}

TEST_CASE("after a signal only the rest of the time is waited for") {
    auto pair = unix_pair();
    pair.near.settimeout(500ms);
    bool first = true;
    const Scripted<&Calls::recv> recv{[&](int fd, void* data, std::size_t size, int flags) {
        if (!std::exchange(first, false)) return sys::kernel.recv(fd, data, size, flags);
        std::this_thread::sleep_for(200ms);  // the signal comes after this long
        return static_cast<ssize_t>(fail(EINTR));
    }};
    int waited_for = -1;
    const Scripted<&Calls::poll> poll{[&](pollfd*, nfds_t, int milliseconds) {
        if (waited_for == -1) waited_for = milliseconds;
        std::this_thread::sleep_for(std::chrono::milliseconds{milliseconds});
        return 0;
    }};
    CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
    CHECK(waited_for >= 0);
    CHECK(waited_for <= 300);
}

TEST_CASE("a non-blocking descriptor that is adopted waits like any other") {
    auto pair = unix_pair();
    const int on = ::fcntl(pair.near.fileno(), F_GETFL) | O_NONBLOCK;
    REQUIRE(::fcntl(pair.near.fileno(), F_SETFL, on) == 0);
    const bool timed = GENERATE(false, true);
    if (timed) pair.near.settimeout(10s);
    std::jthread later{[&] {
        std::this_thread::sleep_for(10ms);
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
    listening.settimeout(too_long);
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

TEST_CASE("sendfile") {
    auto pair = tcp_pair();
    SECTION("large, beyond what the kernel takes at once") {
        const File file{pattern(20'000'000)};
        Receiver receiver{pair.far};
        CHECK(pair.near.sendfile(file.descriptor()) == file.content().size());
        pair.near.shutdown(ShutdownHow::write);
        CHECK((receiver.join() == file.content()));
    }
    SECTION("a part; the file's own position is left alone") {
        const File file{"0123456789"};
        CHECK(pair.near.sendfile(file.descriptor(), 3, 4) == 4);
        CHECK(pair.near.sendfile(file.descriptor(), 8) == 2);
        CHECK(pair.near.sendfile(file.descriptor(), 8, 100) == 2);
        CHECK(pair.near.sendfile(file.descriptor(), 10) == 0);
        CHECK(pair.near.sendfile(file.descriptor(), 0, 0) == 0);
        CHECK(pair.near.sendfile(file.descriptor(), 99) == 0);
        pair.near.shutdown(ShutdownHow::write);
        CHECK(receive_all(pair.far) == "34568989");
        CHECK(::lseek(file.descriptor(), 0, SEEK_CUR) == 0);
    }
    SECTION("what is no file is an error, and the socket blocks as before") {
        CHECK(error_of([&] { pair.near.sendfile(-1); }) == EBADF);
        CHECK((::fcntl(pair.near.fileno(), F_GETFL) & O_NONBLOCK) == 0);
    }
    SECTION("a receive in another thread, with a timeout, does not notice") {
        const File file{pattern(20'000'000)};
        pair.near.settimeout(too_long);
        std::string got;
        std::jthread reading{[&] { got = pair.near.recv(10); }};
        std::jthread peer{[&] {
            std::string rest(20'000'000, '\0');
            for (std::span<char> left{rest}; !left.empty();)
                left = left.subspan(pair.far.recv_into(left));
            pair.far.sendall("received");
        }};
        CHECK(pair.near.sendfile(file.descriptor()) == 20'000'000);
        peer.join();
        reading.join();
        CHECK(got == "received");
    }
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

    std::jthread accepting{[&] {
        std::this_thread::sleep_for(10ms);
        listening.accept();
    }};
    CHECK(create_connection(address, SocketType::stream, too_long).is_open());
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
