// SPDX-License-Identifier: MIT
// What a service manager hears from the serve loop.
#include "socketserver/service_notifier.hpp"

#include <array>
#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

#include "socketserver/systemd.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// The socket of a service manager, in the environment.
class Manager {
  public:
    explicit Manager(const char* watchdog = nullptr)
        : name_{"@" + own_name("notify")}, socket_{Address{name_}, SocketType::datagram} {
        socket_.bind(name_);
        ::setenv("NOTIFY_SOCKET", name_.c_str(), 1);
        if (watchdog != nullptr) ::setenv("WATCHDOG_USEC", watchdog, 1);
    }
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;
    ~Manager() {
        ::unsetenv("NOTIFY_SOCKET");
        ::unsetenv("WATCHDOG_USEC");
    }

    /// Empty: nothing was told in that time.
    std::string hears(std::chrono::milliseconds within = patience) {
        socket_.settimeout(within);
        try {
            return socket_.recv(4096);
        } catch (const TimeoutError&) {
            return {};
        }
    }
    void forget() {
        while (!hears(1ms).empty()) {
        }
    }

  private:
    std::string name_;
    Socket socket_;
};

class Service : public ThreadingTCPServer<EchoLines> {
  public:
    Service() : TCPServer{any_port} {}
    ~Service() override { server_close(); }

    systemd::ServiceNotifier notifier{*this};
    std::atomic<bool> is_stuck{false};

  private:
    void service_actions() override { notifier.turn(); }
    bool verify_request(const Socket&, const Address&) override {
        is_stuck.wait(true);
        return true;
    }
};

TEST_CASE("the watchdog hears of the loop, and of one that is stuck nothing") {
    const TimeLimit limit;
    Manager manager{"100000"};
    Service server;
    CHECK(server.notifier.poll_interval() == 25ms);
    ServingThread serving{server, server.notifier.poll_interval()};
    CHECK(manager.hears() == "WATCHDOG=1\nSTATUS=0 clients, 0 served, 0 failed, 0 refused");
    for (int i = 0; i < 5; ++i) CHECK(manager.hears() == "WATCHDOG=1");
    Socket client = connect(server.server_address());
    CHECK(ask(client, "hello\n") == "hello\n");
    while (manager.hears() != "WATCHDOG=1\nSTATUS=1 clients, 0 served, 0 failed, 0 refused") {
    }

    server.is_stuck = true;
    const Socket stuck = connect(server.server_address());
    while (!manager.hears(200ms).empty()) {
    }
    CHECK(manager.hears(200ms).empty());
    server.is_stuck = false;
    server.is_stuck.notify_all();
    CHECK(manager.hears().starts_with("WATCHDOG=1"));
}

TEST_CASE("a drain says that it stops, and asks for time again and again") {
    const TimeLimit limit;
    Manager manager;
    Service server;
    ServingThread serving{server, server.notifier.poll_interval()};
    CHECK(manager.hears().starts_with("STATUS=0 clients"));
    Socket client = connect(server.server_address());
    client.sendall("not yet ");
    CHECK(eventually([&] { return server.statistics().active == 1; }));
    std::jthread draining{[&] { server.drain(20s); }};
    std::string heard;
    while (heard.find("STOPPING=1") == std::string::npos) heard = manager.hears();
    CHECK(heard.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=5000000"));
    for (int i = 0; i < 2; ++i) CHECK(manager.hears().starts_with("EXTEND_TIMEOUT_USEC=5000000"));
    CHECK(ask(client, "finished\n") == "not yet finished\n");
    draining.join();
}

TEST_CASE("without a manager it says nothing, and workers leave it to their parent") {
    const TimeLimit limit;
    {
        Service server;
        CHECK(server.notifier.poll_interval() == 500ms);
        ServingThread serving{server, 10ms};
        CHECK(ask(server.server_address(), "hello\n") == "hello\n");
    }
    class Workers : public TCPServer<EchoLines, PreforkMixIn> {
      public:
        Workers() : TCPServer{any_port} { workers = 3; }
        ~Workers() override { server_close(); }

      private:
        void service_actions() override { notifier_.turn(); }
        systemd::ServiceNotifier notifier_{*this};
    };
    Manager manager{"60000000"};
    const auto begin = std::chrono::steady_clock::now();
    Workers server;
    ServingThread serving{server, 10ms};
    CHECK(has_workers(server, 3));
    for (int i = 0; i < 6; ++i) CHECK(ask(server.server_address(), "hello\n") == "hello\n");
    CHECK(manager.hears().starts_with("WATCHDOG=1\nSTATUS="));
    // The parent says more each second, but each worker would have begun with a word of its own.
    long long heard = 1;
    while (!manager.hears(1ms).empty()) ++heard;
    const auto lasted = std::chrono::steady_clock::now() - begin;
    CHECK(heard <= 2 + std::chrono::duration_cast<std::chrono::seconds>(lasted).count());
}

TEST_CASE("what is said with descriptors, and of a reload") {
    Manager manager;
    CHECK(systemd::notify_reloading());
    CHECK(manager.hears().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    const std::array<int, 1> descriptors{0};
    CHECK(systemd::store_fds("listener", descriptors));
    CHECK(manager.hears() == "FDSTORE=1\nFDNAME=listener");
    CHECK(systemd::remove_stored_fds("listener"));
    CHECK(manager.hears() == "FDSTOREREMOVE=1\nFDNAME=listener");
    const std::array<int, 254> many{};
    CHECK_THROWS_AS(systemd::notify("FDSTORE=1", many), std::invalid_argument);
}

}  // namespace
