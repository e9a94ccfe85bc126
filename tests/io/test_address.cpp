// SPDX-License-Identifier: MIT
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <map>
#include <stdexcept>
#include <string>
#include <system_error>
#include <unordered_set>
#include <vector>

#include "socketserver/address.hpp"
#include "socketserver/errors.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/in_child.hpp"
#include "support/network_namespace.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::string_literals;

TEST_CASE("an address without arguments is none") {
    const Address none;
    CHECK(none.empty());
    CHECK(none.family() == AddressFamily::none);
    CHECK_FALSE(none.is_inet());
    CHECK_FALSE(none.is_unix());
    CHECK(none.host().empty());
    CHECK(none.path().empty());
    CHECK(none.port() == 0);
    CHECK(none.to_string() == "(no address)");
}

TEST_CASE("hosts and ports") {
    struct Row {
        std::string host;
        AddressFamily family;
        std::string shown_host;
        std::string text;
    };
    const auto row = GENERATE(
        Row{"127.0.0.1", AddressFamily::inet, "127.0.0.1", "127.0.0.1:80"},
        Row{"255.255.255.255", AddressFamily::inet, "255.255.255.255", "255.255.255.255:80"},
        Row{"", AddressFamily::inet, "0.0.0.0", "0.0.0.0:80"},
        Row{"::", AddressFamily::inet6, "::", "[::]:80"},
        Row{"::1", AddressFamily::inet6, "::1", "[::1]:80"},
        Row{"2001:DB8:0::0:1", AddressFamily::inet6, "2001:db8::1", "[2001:db8::1]:80"},
        Row{"::ffff:1.2.3.4", AddressFamily::inet6, "::ffff:1.2.3.4", "[::ffff:1.2.3.4]:80"},
        Row{"localhost", AddressFamily::host_name, "localhost", "localhost:80"},
        Row{"127.0.0.256", AddressFamily::host_name, "127.0.0.256", "127.0.0.256:80"});
    const Address address{row.host, 80};
    CHECK(address.family() == row.family);
    CHECK(address.host() == row.shown_host);
    CHECK(address.to_string() == row.text);
    CHECK(address.port() == 80);
    CHECK(address.is_inet());
    CHECK_FALSE(address.is_unix());
    CHECK(address.path().empty());
}

TEST_CASE("a number that is no port is refused, and named") {
    const std::int64_t port =
        GENERATE(as<std::int64_t>{}, -1, 65536, 70000, 4294967376, -9223372036854775807);
    CHECK(error_of([&] { const Address address("127.0.0.1", port); }) == EINVAL);
    CHECK_THAT(
        text_of([&] { const Address address("127.0.0.1", port); }),
        Catch::Matchers::ContainsSubstring("address 127.0.0.1: port " + std::to_string(port)));
}

TEST_CASE("every number that is a port is one, in whichever type it comes") {
    const int port = 65535;
    CHECK(Address("127.0.0.1", port).port() == 65535);
    CHECK(Address{"127.0.0.1", std::uint16_t{65535}}.port() == 65535);
    CHECK(Address{"127.0.0.1", 65535U}.port() == 65535);
    CHECK(Address{"127.0.0.1", 0L}.port() == 0);
}

TEST_CASE("parse_port() takes a number and nothing else") {
    CHECK(parse_port("0") == 0);
    CHECK(parse_port("9999") == 9999);
    CHECK(parse_port("00080") == 80);
    CHECK(parse_port("65535") == 65535);
    const std::string text =
        GENERATE("", " 80", "80 ", "+80", "-1", "0x50", "80x", "65536", "70000", "http", "8 0");
    CHECK(error_of([&] { parse_port(text); }) == EINVAL);
    CHECK_THAT(text_of([&] { parse_port(text); }),
               Catch::Matchers::ContainsSubstring('"' + text + "\" is no port"));
}

TEST_CASE("parse() reads what to_string() writes") {
    for (const Address& address :
         {Address{"127.0.0.1", 80}, Address{"::1", 80}, Address{"fe80::1%lo", 80},
          Address{"localhost", 0}, Address{"", 65535}, Address{"/run/x.sock"}, Address{"@name"},
          Address{"./x:80"}}) {
        CHECK(Address::parse(address.to_string()) == address);
    }
    CHECK(Address::parse(":80") == Address{"", 80});
}

TEST_CASE("parse() refuses what is no address, and names it") {
    const std::string text =
        GENERATE("", "80", "localhost", "localhost:", "localhost:70000", "::1", "::1:80", "[::1]",
                 "[::1", "[::1]80", "[localhost]:80", "[127.0.0.1]:80", "(no address)");
    CHECK(error_of([&] { Address::parse(text); }) == EINVAL);
    CHECK_THAT(
        text_of([&] { Address::parse(text); }),
        Catch::Matchers::ContainsSubstring("is no") || Catch::Matchers::ContainsSubstring(text));
}

TEST_CASE("an IPv6 zone is an interface by name or number") {
    CHECK(Address{"fe80::1%lo", 80}.host() == "fe80::1%lo");
    CHECK(Address{"fe80::1%lo", 80}.to_string() == "[fe80::1%lo]:80");
    CHECK(Address{"fe80::1%1", 80} == Address{"fe80::1%lo", 80});
    CHECK(Address{"fe80::1%999999", 80}.host() == "fe80::1%999999");
    CHECK(Address{"fe80::1%lo", 80} != Address{"fe80::1", 80});
}

TEST_CASE("an interface that does not exist is named in the error") {
    const auto zone = GENERATE("nosuch0"s, ""s, "0"s, "1x"s);
    const auto make = [&] { return Address{"fe80::1%" + zone, 80}; };
    CHECK(error_of(make) == ENODEV);
    CHECK_THAT(text_of(make), Catch::Matchers::ContainsSubstring('"' + zone + '"'));
}

TEST_CASE("Unix paths and abstract names") {
    const Address path = "/run/x.sock";
    CHECK(path.is_unix());
    CHECK_FALSE(path.is_inet());
    CHECK(path.path() == "/run/x.sock");
    CHECK(path.to_string() == "/run/x.sock");
    CHECK(path.host().empty());
    CHECK(path.port() == 0);

    CHECK(Address{"@name"}.path() == "@name");
    CHECK(Address{"\0name"s} == Address{"@name"});
    CHECK(Address{std::string_view{"@name"}} == Address{"@name"s});
}

TEST_CASE("a Unix path must fit into what the kernel takes") {
    CHECK(Address{std::string(107, 'p')}.path().size() == 107);
    CHECK(error_of([] { return Address{std::string(108, 'p')}; }) == ENAMETOOLONG);
    CHECK_THAT(text_of([] { return Address{std::string(108, 'p')}; }),
               Catch::Matchers::ContainsSubstring("108 bytes (at most 107"));
    CHECK(Address{'@' + std::string(107, 'n')}.path().size() == 108);
    CHECK(error_of([] { return Address{'@' + std::string(108, 'n')}; }) == ENAMETOOLONG);
    CHECK(error_of([] { return Address{""}; }) == EINVAL);
}

TEST_CASE("a peer whose path takes all 108 bytes can be answered") {
    const TemporaryFolder folder;
    std::string path = folder / "";
    path.resize(108, 'p');
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, path.size());
    Socket peer{Address{"@x"}, SocketType::datagram};
    REQUIRE(::bind(peer.fileno(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
    const Address address = peer.getsockname();
    CHECK(address.path() == path);
    Socket other{Address{"@x"}, SocketType::datagram};
    other.sendto("hello", address);
    CHECK(peer.recv(10) == "hello");
}

TEST_CASE("an abstract name of every length reaches the kernel whole") {
    const std::string name = "@" + own_name("abstract");
    const Address longest{name + std::string(108 - name.size(), 'n')};
    const Address with_zero{name + "\0tail"s};
    for (const Address& address : {Address{name}, longest, with_zero}) {
        Socket socket{address, SocketType::datagram};
        socket.bind(address);
        CHECK(socket.getsockname() == address);
    }
}

TEST_CASE("a path or a host with a zero in it is refused, not cut") {
    CHECK(error_of([] { return Address{"/tmp/a\0b"s}; }) == EINVAL);
    CHECK(error_of([] { return Address{"127.0.0.1\0.example"s, 80}; }) == EINVAL);
}

TEST_CASE("in_network") {
    struct Row {
        std::string host;
        std::string network;
        bool inside;
    };
    const auto row = GENERATE(
        Row{"10.1.2.3", "10.0.0.0/8", true}, Row{"11.0.0.0", "10.0.0.0/8", false},
        Row{"192.168.5.127", "192.168.5.0/25", true}, Row{"192.168.5.128", "192.168.5.0/25", false},
        Row{"127.0.0.1", "127.0.0.1", true}, Row{"127.0.0.2", "127.0.0.1", false},
        Row{"127.0.0.1", "127.0.0.1/32", true}, Row{"127.0.0.0", "127.0.0.1/32", false},
        Row{"8.8.8.8", "0.0.0.0/0", true}, Row{"::1", "0.0.0.0/0", false},
        Row{"2001:db8:1::1", "2001:db8::/32", true}, Row{"2001:db9::1", "2001:db8::/32", false},
        Row{"2001:db8:8000::", "2001:db8::/33", false}, Row{"::1", "::1", true},
        Row{"::1", "::/0", true}, Row{"127.0.0.1", "::/0", false},
        Row{"::ffff:10.1.2.3", "10.0.0.0/8", true}, Row{"::ffff:11.1.2.3", "10.0.0.0/8", false},
        Row{"localhost", "127.0.0.0/8", false});
    CAPTURE(row.host, row.network);
    CHECK(Address{row.host, 1234}.in_network(row.network) == row.inside);
}

TEST_CASE("other addresses are in no network") {
    CHECK_FALSE(Address{}.in_network("0.0.0.0/0"));
    CHECK_FALSE(Address{"/run/x.sock"}.in_network("::/0"));
}

TEST_CASE("what is not a network is refused") {
    const auto network =
        GENERATE("", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/8x",
                 "10.0.0.0/ 8", "10.0.0.0/8/8", "example.org", "10");
    CAPTURE(network);
    CHECK_THROWS_AS((Address{"10.0.0.1", 0}.in_network(network)), std::invalid_argument);
}

TEST_CASE("addresses are ordered, equal and hashed by value") {
    const Address one{"127.0.0.1", 1};
    CHECK(one == Address{"127.0.0.1", 1});
    CHECK(one < Address{"127.0.0.1", 2});
    CHECK(one != Address{"127.0.0.2", 1});
    CHECK(Address{"10.0.0.1", 1} < Address{"10.0.0.2", 1});
    CHECK(Address{"/a"} < Address{"/b"});
    CHECK(Address{} < one);

    std::map<Address, int> counts;
    ++counts[one];
    ++counts[Address{"127.0.0.1", 1}];
    CHECK(counts.at(one) == 2);

    const std::unordered_set<Address> set{one, {"127.0.0.1", 1}, {"127.0.0.1", 2}, {"/a"}, {}};
    CHECK(set.size() == 4);
    CHECK(set.contains(one));
}

TEST_CASE("fmt prints an address as a string") {
    CHECK(fmt::format("{}", Address{"::1", 80}) == "[::1]:80");
    CHECK(fmt::format("{:>12}|", Address{"/a"}) == "          /a|");
    CHECK(fmt::format("{:.4}", Address{"127.0.0.1", 80}) == "127.");
}

TEST_CASE("what needs no look-up resolves to itself") {
    for (const Address& address : {Address{"::1", 80}, Address{"/a"}, Address{}}) {
        CHECK(address.resolve() == std::vector{address});
    }
}

TEST_CASE("a host name resolves to numbers with its port, IPv4 first") {
    const auto found = Address{"localhost", 80}.resolve();
    REQUIRE_FALSE(found.empty());
    CHECK(found.front() == Address{"127.0.0.1", 80});
    bool seen_inet6 = false;
    for (const Address& address : found) {
        CHECK(address.port() == 80);
        if (address.family() == AddressFamily::inet6) seen_inet6 = true;
        if (address.family() == AddressFamily::inet) CHECK_FALSE(seen_inet6);
    }
}

TEST_CASE("a host name that does not resolve is named in the error") {
    // Too long for a label: refused without asking anybody.
    const std::string name(300, 'n');
    try {
        const auto found = Address{name, 80}.resolve();
        FAIL("resolved to " << found.size() << " addresses");
    } catch (const std::system_error& error) {
        CHECK(error.code().category() == resolver_category());
        CHECK_THAT(error.what(), Catch::Matchers::ContainsSubstring(name));
    }
}

TEST_CASE("a name has no numeric form until it is resolved") {
    const Address name{"localhost", 80};
    CHECK(error_of([&] { const Socket socket{name, SocketType::stream}; }) == EAFNOSUPPORT);
    Socket socket{Address{"127.0.0.1", 0}, SocketType::stream};
    CHECK_THAT(text_of([&] { socket.connect(name); }),
               Catch::Matchers::ContainsSubstring("localhost:80"));
}

TEST_CASE("localhost is the loopback interface even where nothing resolves names") {
    const ChildEnd end = in_child([] {
        // Without /etc/hosts, /etc/nsswitch.conf and /etc/resolv.conf.
        const bool is_bare = ::unshare(CLONE_NEWNS) == 0 &&
                             ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                             ::mount("none", "/etc", "tmpfs", 0, nullptr) == 0 &&
                             enter_network_namespace();
        if (!is_bare) ::_exit(77);  // not allowed here
        const auto resolved = [](const char* name) -> std::vector<Address> {
            try {
                return Address{name, 7}.resolve();
            } catch (const std::system_error&) {
                return {};
            }
        };
        const bool is_right = resolved("localhost") == std::vector{Address{"127.0.0.1", 7}} &&
                              resolved("other").empty();
        ::_exit(is_right ? 7 : 1);
    });
    if (end.exited_with(77)) return;
    CHECK(end.exited_with(7));
}
