// SPDX-License-Identifier: MIT
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::ContainsSubstring;
using Server = TCPServer<StreamEcho>;

int option(const Socket& socket, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    ::getsockopt(socket.fileno(), SOL_SOCKET, name, &value, &size);
    return value;
}

/// The text of what making a server throws, with its code.
struct Failure {
    std::error_code code;
    std::string text;
};
template <class Make>
Failure failure_of(Make make) {
    try {
        make();
    } catch (const std::system_error& error) {
        return {error.code(), error.what()};
    }
    return {};
}

}  // namespace

TEST_CASE("a port in use is an error that names it and says what to do") {
    const Server first{any_port};
    const Failure failure = failure_of([&] { Server{first.server_address()}; });
    CHECK(failure.code == std::errc::address_in_use);
    CHECK_THAT(failure.text, ContainsSubstring("bind " + first.server_address().to_string()));
    CHECK_THAT(failure.text, ContainsSubstring("allow_reuse_address"));
}

TEST_CASE("a port in use is not advised to reuse what is reused already") {
    const Server first{any_port, {.allow_reuse_address = true}};
    const Failure failure = failure_of([&] {
        Server{first.server_address(), {.allow_reuse_address = true}};
    });
    CHECK(failure.code == std::errc::address_in_use);
    CHECK_THAT(failure.text, ContainsSubstring("another socket listens on the port"));
    CHECK_THAT(failure.text, !ContainsSubstring("allow_reuse_address"));
}

namespace {

int is_v6_only(const Socket& socket) {
    int value = -1;
    socklen_t size = sizeof value;
    ::getsockopt(socket.fileno(), IPPROTO_IPV6, IPV6_V6ONLY, &value, &size);
    return value;
}

/// As it is done in Python: the option first, then the base's part.
class OnlyV6Server : public Server {
  public:
    OnlyV6Server() : Server{{"::", 0}, {.bind_and_activate = false}} {
        server_bind();
        server_activate();
    }

  private:
    void server_bind() override {
        const int on = 1;
        ::setsockopt(socket().fileno(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        Server::server_bind();
    }
};

}  // namespace

TEST_CASE("what server_bind() of a derived class set stays set") {
    CHECK(is_v6_only(Server{Address{"::", 0}}.socket()) == 0);
    CHECK(is_v6_only(OnlyV6Server{}.socket()) == 1);
}

TEST_CASE("a port that may not be had is an error that says why") {
    // Through the seam: the tests may run as root, or with the limit lowered.
    const Scripted<&Calls::bind> bind{[](auto...) { return fail(EACCES); }};
    const Failure failure = failure_of([] { Server{Address{"127.0.0.1", 80}}; });
    CHECK(failure.code == std::errc::permission_denied);
    CHECK_THAT(failure.text, ContainsSubstring("bind 127.0.0.1:80"));
    CHECK_THAT(failure.text, ContainsSubstring("CAP_NET_BIND_SERVICE"));
}

TEST_CASE("an address that this machine does not have") {
    const Failure failure = failure_of([] { Server{Address{"192.0.2.1", 0}}; });
    CHECK(failure.code == std::errc::address_not_available);
    CHECK_THAT(failure.text, ContainsSubstring("192.0.2.1"));
}

TEST_CASE("a Unix path is no address of a TCP server") {
    const Failure failure = failure_of([] { Server{Address{"@not-tcp"}}; });
    CHECK(failure.code == std::errc::address_family_not_supported);
    CHECK_THAT(failure.text, ContainsSubstring("@not-tcp"));
}

TEST_CASE("allow_reuse_address lets a server restart on its port at once") {
    const TimeLimit limit;
    const bool reuse = GENERATE(false, true);
    CAPTURE(reuse);
    const ServerOptions options{.allow_reuse_address = reuse};
    Address address;
    Socket client;
    // A connection of the first server is still there. In TIME_WAIT it could not be relied upon: of
    // those the kernel drops some when it has too many.
    static Socket kept;
    class Keep : public BaseRequestHandler<Socket> {
        void handle() override { kept = std::move(request()); }
    };
    {
        TCPServer<Keep> first{any_port, options};
        address = first.server_address();
        CHECK(option(first.socket(), SO_REUSEADDR) == (reuse ? 1 : 0));
        client = connect(address);
        first.handle_request();
    }
    const Failure failure = failure_of([&] { Server{address, options}; });
    CHECK(failure.code ==
          (reuse ? std::error_code{} : std::error_code{EADDRINUSE, std::system_category()}));
    kept.close();
}

TEST_CASE("allow_reuse_port lets two servers share a port") {
    const TimeLimit limit;
    const Server first{any_port, {.allow_reuse_port = true}};
    CHECK(option(first.socket(), SO_REUSEPORT) == 1);
    const Server second{first.server_address(), {.allow_reuse_port = true}};
    CHECK(second.server_address() == first.server_address());
    CHECK(failure_of([&] { Server{first.server_address()}; }).code == std::errc::address_in_use);
}

TEST_CASE("IPv6") {
    const TimeLimit limit;
    TCPServer<StreamEcho, ThreadingMixIn> server{Address{"::1", 0}};
    CHECK(server.server_address().family() == AddressFamily::inet6);
    CHECK(server.server_address().host() == "::1");
    ServingThread serving{server};
    CHECK(ask(server.server_address(), "six\n") == "six\n");
}

TEST_CASE("The address \"::\" serves IPv4 clients as well") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void handle() override {
            wfile().print("{} {}", client_address().host(),
                          client_address().in_network("127.0.0.0/8"));
        }
    };
    TCPServer<Handler> server{Address{"::", 0}};
    ServingThread serving{server};
    Socket four = connect({"127.0.0.1", server.server_address().port()});
    CHECK_THAT(read_to_end(four), ContainsSubstring("127.0.0.1 true"));
    Socket six = connect({"::1", server.server_address().port()});
    CHECK(read_to_end(six) == "::1 false");
}

TEST_CASE("host names and the empty host") {
    const TimeLimit limit;
    SECTION("localhost") {
        Server server{Address{"localhost", 0}};
        CHECK(server.server_address().host() == "127.0.0.1");
        ServingThread serving{server};
        CHECK(ask(Address{"localhost", server.server_address().port()}, "x\n") == "x\n");
    }
    SECTION("empty: every IPv4 interface") {
        const Server server{Address{"", 0}};
        CHECK(server.server_address().host() == "0.0.0.0");
    }
    SECTION("a name that does not exist") {
        const Failure failure = failure_of([] { Server{Address{"does-not-exist.invalid", 0}}; });
        CHECK(failure.code.category() == resolver_category());
        CHECK_THAT(failure.text, ContainsSubstring("does-not-exist.invalid"));
    }
}

TEST_CASE("1000 constructors that fail leak no descriptor") {
    const TimeLimit limit;
    const Server first{any_port};
    const std::size_t before = open_descriptors();
    int failures = 0;
    for (int i = 0; i < 1000; ++i) {
        try {
            const Server server{first.server_address()};
        } catch (const std::system_error&) {
            ++failures;
        }
    }
    CHECK(failures == 1000);
    CHECK(open_descriptors() == before);
}

TEST_CASE("a constructor that fails at any of its system calls leaks no descriptor") {
    const TimeLimit limit;
    const std::size_t before = open_descriptors();
    const auto check = [&] {
        CHECK_THROWS_AS(Server(any_port), std::system_error);
        CHECK(open_descriptors() == before);
    };
    SECTION("socket") {
        const Scripted<&Calls::socket> script{[](auto...) { return fail(EMFILE); }};
        check();
    }
    SECTION("listen") {
        const Scripted<&Calls::listen> script{[](auto...) { return fail(EADDRINUSE); }};
        check();
    }
    SECTION("the first eventfd") {
        const Scripted<&Calls::eventfd> script{[](auto...) { return fail(EMFILE); }};
        check();
    }
    SECTION("the second eventfd") {
        int calls = 0;
        const Scripted<&Calls::eventfd> script{[&](unsigned initial, int flags) {
            return ++calls == 2 ? fail(EMFILE) : detail::sys::kernel.eventfd(initial, flags);
        }};
        check();
        CHECK(calls == 2);
    }
}

TEST_CASE("adopting a descriptor") {
    const TimeLimit limit;
    const auto listening = [](bool listens) {
        Socket socket{any_port, SocketType::stream};
        socket.bind(any_port);
        if (listens) socket.listen(5);
        return socket;
    };
    SECTION("that listens, or is bound only") {
        const bool listens = GENERATE(true, false);
        Socket socket = listening(listens);
        const Address address = socket.getsockname();
        const int descriptor = socket.detach();
        REQUIRE(::fcntl(descriptor, F_SETFD, 0) == 0);  // as a service manager hands it over
        Server server{Socket{descriptor}};
        CHECK(server.server_address() == address);
        CHECK(server.fileno() == descriptor);
        CHECK(is_close_on_exec(descriptor));
        ServingThread serving{server};
        CHECK(ask(address, "x\n") == "x\n");
    }
    SECTION("of another kind is refused, and not leaked") {
        const std::size_t before = open_descriptors();
        CHECK(failure_of([] {
                  Server{Socket{any_port, SocketType::datagram}};
              }).code == std::errc::wrong_protocol_type);
        CHECK(failure_of([] {
                  Server{Socket{Address{"@x"}, SocketType::stream}};
              }).code == std::errc::address_family_not_supported);
        CHECK(failure_of([] { Server{Socket{::open("/dev/null", O_RDONLY | O_CLOEXEC)}}; }).code ==
              std::errc::not_a_socket);
        CHECK(failure_of([] { Server{Socket{}}; }).code == std::errc::bad_file_descriptor);
        CHECK(open_descriptors() == before);
    }
    SECTION("that is connected is refused") {
        Socket listener = listening(true);
        Socket client = connect(listener.getsockname());
        CHECK_THROWS_AS(Server(std::move(client)), std::system_error);
    }
}

TEST_CASE("the backlog is the request queue size") {
    std::vector<int> backlogs;
    const Scripted<&Calls::listen> listen{[&](int descriptor, int backlog) {
        backlogs.push_back(backlog);
        return detail::sys::kernel.listen(descriptor, backlog);
    }};
    const Server standard{any_port};
    const Server small{any_port, {.request_queue_size = 7}};
    CHECK(backlogs == std::vector<int>{ServerOptions{}.request_queue_size, 7});
}

TEST_CASE("every descriptor of a server is close-on-exec") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void handle() override {
            wfile().print("{}", ::fcntl(request().fileno(), F_GETFD) & FD_CLOEXEC);
        }
    };
    TCPServer<Handler> server{any_port};
    CHECK((::fcntl(server.fileno(), F_GETFD) & FD_CLOEXEC) != 0);
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK((::fcntl(client.fileno(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(read_to_end(client) == std::to_string(FD_CLOEXEC));
}

TEST_CASE("clients that go before they are accepted, and those that say nothing, harm nobody") {
    const TimeLimit limit;
    TCPServer<StreamEcho, ThreadingMixIn> server{any_port};
    for (int i = 0; i < 50; ++i) {
        Socket client = connect(server.server_address());
        if (i % 2 == 0) reset(client);
    }
    ServingThread serving{server};
    CHECK(ask(server.server_address(), "x\n") == "x\n");
}
