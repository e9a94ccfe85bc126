// SPDX-License-Identifier: MIT
// What a client of a Unix stream can send along with its bytes, and what ends a receive although
// more is there: passed descriptors, the credentials of another writer, urgent bytes.
#include <array>
#include <cstring>
#include <future>
#include <random>
#include <string>
#include <string_view>

#include <spawn.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/fiber_serving.hpp"
#include "support/serving.hpp"
#include "support/transfers.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// Sends bytes with a descriptor.
void send_with_descriptor(const Socket& socket, std::string_view bytes) {
    REQUIRE(send_with_descriptors(socket, bytes, {socket.fileno()}));
}

/// Another process sends bytes over the same connection: its credentials are not ours.
void send_from_another_process(const Socket& socket, const std::string& bytes) {
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, socket.fileno(), STDOUT_FILENO);
    std::array<std::string, 4> words{"sh", "-c", "printf %s \"$0\"", bytes};
    std::array<char*, 5> arguments{};
    for (std::size_t i = 0; i < words.size(); ++i) arguments.at(i) = words.at(i).data();
    pid_t child = -1;
    REQUIRE(::posix_spawn(&child, "/bin/sh", &actions, nullptr, arguments.data(), environ) == 0);
    ::posix_spawn_file_actions_destroy(&actions);
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
}

enum class Along : unsigned char { nothing, descriptor, credentials, urgent };

void send_along(Socket& socket, const std::string& bytes, Along along) {
    switch (along) {
        case Along::nothing:
            return socket.sendall(bytes);
        case Along::descriptor:
            return send_with_descriptor(socket, bytes);
        case Along::credentials:
            return send_from_another_process(socket, bytes);
        case Along::urgent:
            break;
    }
    // The last byte, which is no part of the stream, is urgent.
    const std::string with_urgent = bytes + "!";
    const ssize_t sent =
        ::send(socket.fileno(), with_urgent.data(), with_urgent.size(), MSG_OOB | MSG_NOSIGNAL);
    // A kernel before 5.15 has none on Unix sockets.
    if (sent == -1) socket.sendall(bytes);
}

/// Echoes lines. "hold\n" holds its worker until the test lets it go.
class HoldingServer : public FiberUnixStreamServer<Calling> {
  public:
    HoldingServer(bool receives_credentials, std::size_t buffer)
        : FiberUnixStreamServer<Calling>{"@" + own_name("messages"), {}, [=, this] {
                                             return Calling{[=, this](Calling& handler) {
                                                 const int on = receives_credentials ? 1 : 0;
                                                 ::setsockopt(handler.request().fileno(),
                                                              SOL_SOCKET, SO_PASSCRED, &on,
                                                              sizeof on);
                                                 BufferedReader reader{handler.request(), buffer};
                                                 for (std::string_view line = reader.readline();
                                                      !line.empty(); line = reader.readline()) {
                                                     if (line == "hold\n") {
                                                         held.set_value();
                                                         go_on.get_future().wait();
                                                     }
                                                     handler.request().sendall(line);
                                                 }
                                             }};
                                         }} {
        workers = 1;
    }
    std::promise<void> held;
    std::promise<void> go_on;
};

}  // namespace

TEST_CASE("what is sent along with the bytes of a Unix stream hides none of them from a fiber") {
    const TimeLimit limit;
    const Along along =
        GENERATE(Along::nothing, Along::descriptor, Along::credentials, Along::urgent);
    const bool receives_credentials = GENERATE(false, true);
    HoldingServer server{receives_credentials, 8192};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(ask(client, "waits from now on\n") == "waits from now on\n");
    Socket holding = connect(server.server_address());
    holding.sendall("hold\n");
    server.held.get_future().wait();
    // All of it is there before the fiber receives any.
    client.sendall("a");
    send_along(client, "b", along);
    client.sendall("c\n");
    server.go_on.set_value();
    CHECK(client.recv(64) == "abc\n");
    CHECK(ask(client, "and goes on\n") == "and goes on\n");
}

TEST_CASE("any sequence of messages on a Unix stream reaches a fiber") {
    const TimeLimit limit;
    const bool receives_credentials = GENERATE(false, true);
    const std::size_t buffer = GENERATE(std::size_t{0}, std::size_t{16}, std::size_t{8192});
    HoldingServer server{receives_credentials, buffer};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    BufferedReader answers{client};
    std::mt19937 random{20250101};
    for (int i = 0; i < 300; ++i) {
        const std::string line = pattern(random() % 40) + "\n";
        for (std::string_view left = line; !left.empty();) {
            const std::size_t size = 1 + random() % left.size();
            // A process for one piece in 50: they take long.
            const auto kind = random() % 100;
            const Along along = kind < 2    ? Along::credentials
                                : kind < 30 ? Along::descriptor
                                            : Along::nothing;
            send_along(client, std::string{left.substr(0, size)}, along);
            left.remove_prefix(size);
        }
        REQUIRE(answers.readline() == line);
    }
}
