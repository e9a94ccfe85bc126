// SPDX-License-Identifier: MIT
#include "socketserver/systemd.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <string>
#include <system_error>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/in_child.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

/// Sets variables of the environment for as long as it lives; null: is not there.
class Environment {
  public:
    Environment() = default;
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;
    ~Environment() {
        for (const char* each : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET",
                                 "WATCHDOG_USEC", "WATCHDOG_PID"}) {
            ::unsetenv(each);
        }
    }
    void set(const char* variable, const std::string& value) {
        REQUIRE(::setenv(variable, value.c_str(), 1) == 0);
    }
};

std::string own_pid() { return std::to_string(::getpid()); }

}  // namespace

TEST_CASE("without a service manager there is nothing") {
    CHECK(systemd::listen_fds().empty());
    CHECK_FALSE(systemd::notify("READY=1"));
    CHECK_FALSE(systemd::watchdog_enabled());
}

TEST_CASE("passed sockets are taken over once, by name, and closed on exec") {
    // In a child: descriptors 3 and 4 are the test program's own.
    const ChildEnd end = in_child([] {
        ::_exit([] {
            std::array<int, 2> pair{};
            if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) != 0) return 10;
            const int first = ::fcntl(pair[0], F_DUPFD, 100);
            const int second = ::fcntl(pair[1], F_DUPFD, 100);
            if (::dup2(first, 3) != 3 || ::dup2(second, 4) != 4) return 11;
            ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
            ::setenv("LISTEN_FDS", "2", 1);
            ::setenv("LISTEN_FDNAMES", "http", 1);
            const auto passed = systemd::listen_fds();
            if (passed.size() != 2) return 12;
            if (passed[0].name != "http" || passed[1].name != "unknown") return 13;
            if (passed[0].socket.fileno() != 3 || passed[1].socket.fileno() != 4) return 14;
            if ((::fcntl(3, F_GETFD) & FD_CLOEXEC) == 0) return 15;
            if (std::getenv("LISTEN_PID") != nullptr || std::getenv("LISTEN_FDS") != nullptr)
                return 16;
            return systemd::listen_fds().empty() ? 0 : 17;
        }());
    });
    CHECK(end.exited_with(0));
}

TEST_CASE("what was passed to another process is left alone") {
    Environment environment;
    environment.set("LISTEN_PID", std::to_string(::getppid()));
    environment.set("LISTEN_FDS", "1");
    CHECK(systemd::listen_fds().empty());
    CHECK(std::getenv("LISTEN_FDS") != nullptr);
}

TEST_CASE("variables that are wrong are named") {
    Environment environment;
    environment.set("LISTEN_PID", own_pid());
    for (const char* wrong : {"", "x", "-1", "1x", "99999999999999999999", "2147483647"}) {
        CAPTURE(wrong);
        environment.set("LISTEN_FDS", wrong);
        CHECK_THROWS_WITH(systemd::listen_fds(), ContainsSubstring("LISTEN_FDS"));
    }
    environment.set("WATCHDOG_USEC", "soon");
    CHECK_THROWS_WITH(systemd::watchdog_enabled(), ContainsSubstring("WATCHDOG_USEC=soon"));
}

TEST_CASE("a descriptor that is not open is named") {
    const ChildEnd end = in_child([] {
        ::_exit([] {
            ::close_range(3, ~0U, 0);
            ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
            ::setenv("LISTEN_FDS", "1", 1);
            try {
                systemd::listen_fds();
            } catch (const std::system_error& error) {
                const bool is_named =
                    std::string{error.what()}.find("descriptor 3") != std::string::npos;
                return is_named && error.code().value() == EBADF ? 0 : 11;
            }
            return 10;
        }());
    });
    CHECK(end.exited_with(0));
}

TEST_CASE("the manager is told, by a path or an abstract name") {
    Environment environment;
    const bool is_abstract = GENERATE(false, true);
    const std::string name = (is_abstract ? "@" : "/tmp/") + own_name("notify");
    Socket manager{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    manager.settimeout(10s);
    manager.bind(name);
    environment.set("NOTIFY_SOCKET", name);
    CHECK(systemd::notify("READY=1\nSTATUS=well"));
    CHECK(manager.recv(100) == "READY=1\nSTATUS=well");
    manager.close();
    if (!is_abstract) ::unlink(name.c_str());
    CHECK_THROWS_WITH(systemd::notify("STOPPING=1"), ContainsSubstring("notify " + name));
    environment.set("NOTIFY_SOCKET", "vsock:2:1234");
    CHECK_THROWS_AS(systemd::notify("READY=1"), std::system_error);
}

TEST_CASE("the time of the watchdog") {
    Environment environment;
    environment.set("WATCHDOG_USEC", "5000000");
    CHECK(systemd::watchdog_enabled() == 5s);
    environment.set("WATCHDOG_PID", own_pid());
    CHECK(systemd::watchdog_enabled() == 5s);
    environment.set("WATCHDOG_PID", std::to_string(::getppid()));
    CHECK_FALSE(systemd::watchdog_enabled());
    environment.set("WATCHDOG_PID", own_pid());
    environment.set("WATCHDOG_USEC", "0");
    CHECK_FALSE(systemd::watchdog_enabled());
}
