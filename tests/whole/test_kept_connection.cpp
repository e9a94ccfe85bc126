// SPDX-License-Identifier: MIT
// A handler that moves its connection away keeps it: the server has nothing to do with it any more.
#include <cerrno>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "socketserver/buffered_writer.hpp"
#include "socketserver/socketserver.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/serving.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::chrono_literals;

namespace {

/// Where the handlers leave their connections.
class Shelf {
  public:
    void put(Socket socket) {
        const std::lock_guard lock{mutex_};
        socket_ = std::move(socket);
    }
    std::optional<Socket> take() {
        const std::lock_guard lock{mutex_};
        return std::exchange(socket_, std::nullopt);
    }

  private:
    std::mutex mutex_;
    std::optional<Socket> socket_;
};

Shelf shelf;

class Keeping : public StreamRequestHandler {
  public:
    Keeping() { wbufsize = 4096; }

  private:
    void handle() override {
        rfile().readline();
        wfile().write("held back\n");
        shelf.put(std::move(connection()));
    }
};

class KeepingByDetach : public StreamRequestHandler {
  public:
    KeepingByDetach() { wbufsize = 4096; }

  private:
    void handle() override {
        rfile().readline();
        wfile().write("held back\n");
        shelf.put(Socket{connection().detach()});
    }
};

class KeepingWithoutFiles : public BaseRequestHandler<> {
    void handle() override {
        request().recv(64);
        request().sendall("held back\n");
        shelf.put(std::move(request()));
    }
};

template <class Server>
struct Kept : Server {
    Kept() : Server{any_port, {.idle_timeout = 100ms, .request_timeout = 100ms}} {}
    ~Kept() override { this->server_close(); }
};

template <class Server>
void check_kept() {
    const TimeLimit limit;
    Kept<Server> server;
    std::optional<Socket> client;
    std::optional<Socket> kept;
    {
        ServingThread serving{server};
        client = connect(server.server_address());
        CHECK(ask(*client, "line\n") == "held back\n");
        CHECK(eventually([&] { return server.statistics().active == 0; }));
        const DrainReport report = server.drain(10s);
        CHECK(report.cancelled == 0);
        CHECK(report.idle_closed == 0);
        CHECK(report.remaining == 0);
    }
    kept = shelf.take();
    REQUIRE(kept);
    kept->settimeout(longest_wait);
    client->sendall("more\n");
    CHECK(kept->recv(64) == "more\n");  // later than the limits of the server
    kept->sendall("reply\n");
    CHECK(client->recv(64) == "reply\n");
    kept->close();
    CHECK(client->recv(64).empty());
}

}  // namespace

TEMPLATE_TEST_CASE("a connection that its handler keeps is no longer the server's", "",
                   TCPServer<Keeping>, ThreadingTCPServer<Keeping>, ThreadPoolTCPServer<Keeping>,
                   ThreadingTCPServer<KeepingByDetach>, ThreadingTCPServer<KeepingWithoutFiles>) {
    check_kept<TestType>();
}

#ifdef SOCKETSERVER_TEST_FIBER
TEMPLATE_TEST_CASE("a connection that its handler keeps is no longer the server's: fiber", "",
                   FiberTCPServer<Keeping>, FiberTCPServer<KeepingByDetach>,
                   FiberTCPServer<KeepingWithoutFiles>) {
    check_kept<TestType>();
}
#endif

TEST_CASE("moving a socket sends what a writer holds back, and leaves the writer behind") {
    auto [ours, theirs] = unix_pair();
    theirs.settimeout(longest_wait);
    {
        BufferedWriter writer{ours, 4096};
        writer.write("held back");
        const Socket mine = std::move(ours);
        CHECK(theirs.recv(64) == "held back");
        CHECK(mine.corked() == nullptr);
        CHECK(writer.data().empty());
        writer.write("lost");
        CHECK(error_of([&] { writer.flush(); }) == EBADF);
    }
    CHECK(theirs.recv(64).empty());
}

TEST_CASE("a connection whose held back output cannot be sent is shut down when it is moved") {
    auto [ours, theirs] = unix_pair();
    ours.settimeout(10ms);
    fill(ours);
    BufferedWriter writer{ours, 4096};
    writer.write("does not fit");
    Socket mine = std::move(ours);
    CHECK(error_of([&] { mine.sendall("more"); }) == EPIPE);
}
