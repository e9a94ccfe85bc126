// SPDX-License-Identifier: MIT
// A connection that several workers use: one receives, another one sends, and threads do too.
#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <sys/ioctl.h>
#include <sys/socket.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/fiber_serving.hpp"
#include "support/sanitizers.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

int bytes_to_receive(const Socket& socket) {
    int size = 0;
    return ::ioctl(socket.fileno(), FIONREAD, &size) == 0 ? size : -1;
}

/// One connection of the room below, to which everybody sends.
class Member {
  public:
    explicit Member(Socket& connection) : socket_{connection} {}
    /// Nothing if its client has gone.
    void send(std::string_view line) {
        const std::lock_guard lock{sending_};
        if (gone_) return;
        try {
            socket_.sendall(line);
        } catch (const Cancelled&) {
            throw;
        } catch (const std::system_error&) {
            gone_ = true;
        }
    }
    void leave() {
        const std::lock_guard lock{sending_};
        gone_ = true;
    }

  private:
    Socket& socket_;
    Mutex sending_;
    bool gone_ = false;
};

class Room {
  public:
    std::shared_ptr<Member> enter(Socket& socket) {
        // Small, so that whoever sends has to wait often.
        const int size = 4096;
        ::setsockopt(socket.fileno(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        auto member = std::make_shared<Member>(socket);
        const std::lock_guard lock{mutex_};
        members_.push_back(member);
        return member;
    }
    void leave(const std::shared_ptr<Member>& member) {
        {
            const std::lock_guard lock{mutex_};
            std::erase(members_, member);
        }
        member->leave();
    }
    std::shared_ptr<Member> somebody() {
        const std::lock_guard lock{mutex_};
        if (members_.empty()) return nullptr;
        return members_[random_() % members_.size()];
    }

  private:
    std::mutex mutex_;
    std::vector<std::shared_ptr<Member>> members_;
    std::mt19937 random_{1};
};

/// Sends each line to two of the room, whichever worker they are of.
void serve_in_room(Room& room, Calling& handler) {
    const std::shared_ptr<Member> self = room.enter(handler.request());
    const std::shared_ptr<void> at_end{nullptr, [&](void*) { room.leave(self); }};
    for (std::string_view line : handler.rfile()) {
        if (line == "ping\n") {
            self->send("pong\n");
            continue;
        }
        const std::string copy{line};
        for (int i = 0; i < 2; ++i) {
            if (const auto member = room.somebody()) member->send(copy);
        }
    }
}

/// A line of one letter, so that two that were mixed up are seen.
std::string any_line(std::mt19937& random) {
    const std::size_t size = random() % 20 == 0 ? 20'000 : 1 + random() % 500;
    return std::string(size, static_cast<char>('a' + random() % 26)) + "\n";
}

/// Sends lines, and receives what others send in a thread of its own.
class Chatter {
  public:
    Chatter(const Address& address, unsigned seed) : socket_{connect(address)}, random_{seed} {}
    void send_lines(int count) {
        for (int i = 0; i < count; ++i) socket_.sendall(any_line(random_));
    }
    /// Whether the server still hears this client.
    bool is_heard() {
        socket_.sendall("ping\n");
        return pong_.get_future().wait_for(patience) == std::future_status::ready;
    }
    bool all_lines_whole() {
        socket_.shutdown(ShutdownHow::write);
        receiving_.join();
        return whole_;
    }

  private:
    void receive() {
        BufferedReader reader{socket_};
        try {
            for (std::string_view line : reader) {
                if (line == "pong\n") {
                    pong_.set_value();
                } else if (line.find_first_not_of(line.front()) != line.size() - 1) {
                    whole_ = false;
                }
            }
        } catch (const std::system_error&) {
            whole_ = false;
        }
    }
    Socket socket_;
    std::mt19937 random_;
    std::promise<void> pong_;
    bool whole_ = true;
    std::thread receiving_{[this] { receive(); }};
};

/// Sends lines without reading any, and leaves by a reset.
void be_rude(const Address& address, unsigned seed) {
    std::mt19937 random{seed};
    for (int i = 0; i < 10; ++i) {
        Socket socket = connect(address);
        for (int line = 0; line < 10; ++line) socket.sendall(any_line(random));
        reset(socket);
    }
}

}  // namespace

TEST_CASE("who waits to send from another worker leaves the receiver alone") {
    const TimeLimit limit;
    constexpr std::size_t size = std::size_t{16} << 20;
    std::promise<Socket*> shared;
    CallingServer server{[&](Calling& handler) {
                             for (std::string_view line : handler.rfile()) {
                                 if (line == "blast\n") {
                                     shared.get_future().get()->sendall(std::string(size, 'x'));
                                 }
                                 handler.wfile().write(line);
                                 if (line == "share\n") shared.set_value(&handler.request());
                             }
                         },
                         2};
    ServingThread serving{server};
    // In turn to the one worker and to the other.
    Socket receiver = connect(server.server_address());
    CHECK(ask(receiver, "share\n") == "share\n");
    Socket sender = connect(server.server_address());
    CHECK(ask(sender, "hi\n") == "hi\n");
    Socket beside_receiver = connect(server.server_address());
    CHECK(ask(beside_receiver, "hi\n") == "hi\n");
    Socket beside_sender = connect(server.server_address());

    sender.sendall("blast\n");
    CHECK(eventually([&] { return bytes_to_receive(receiver) > 0; }));
    // Its worker answers when the sender waits; the other one sees what there is to be seen.
    CHECK(ask(beside_sender, "hi\n") == "hi\n");
    CHECK(ask(beside_receiver, "hi\n") == "hi\n");
    std::size_t got = 0;
    while (got < size) got += receiver.recv(1 << 20).size();
    CHECK(got == size);
    CHECK(ask(sender, "").empty());
    CHECK(sender.recv(64) == "blast\n");
    CHECK(ask(receiver, "hello\n") == "hello\n");
}

TEST_CASE("receiving and sending move from worker to worker") {
    const TimeLimit limit;
    constexpr std::size_t size = std::size_t{1} << 20;  // more than the socket takes at once
    constexpr int rounds = 20;
    auto [near, far] = unix_pair();
    near.settimeout(patience);
    std::thread peer{[&far = far] {
        std::string bytes(size, '\0');
        for (int i = 0; i < 2 * rounds; ++i) {
            for (std::span<char> left{bytes}; !left.empty();) {
                left = left.subspan(far.recv_into(left));
            }
            far.sendall("received");
        }
    }};
    Mutex turn;
    std::atomic<int> received{0};
    CallingServer server{[&, &near = near](Calling& handler) {
                             handler.rfile().readline();
                             for (int i = 0; i < rounds; ++i) {
                                 const std::lock_guard lock{turn};
                                 near.sendall(std::string(size, 'x'));
                                 if (near.recv(64) == "received") ++received;
                             }
                             handler.wfile().write("done\n");
                         },
                         2};
    ServingThread serving{server};
    Socket one = connect(server.server_address());
    Socket other = connect(server.server_address());
    one.sendall("go\n");
    other.sendall("go\n");
    CHECK(read_to_end(one) == "done\n");
    CHECK(read_to_end(other) == "done\n");
    peer.join();
    CHECK(received == 2 * rounds);
}

TEST_CASE("a descriptor that another worker closes ends the wait for it") {
    if (under_tsan) return;  // which says, and rightly, that this needs a lock
    const TimeLimit limit;
    auto [near, far] = unix_pair();
    std::promise<void> waits;
    std::string error;
    CallingServer server{[&, &near = near](Calling& handler) {
                             if (handler.rfile().readline() == "wait\n") {
                                 waits.set_value();
                                 error = text_of([&] { near.recv(1); });
                             } else {
                                 near.close();
                             }
                             handler.wfile().write("done\n");
                         },
                         2};
    ServingThread serving{server};
    Socket waiting = connect(server.server_address());
    waiting.sendall("wait\n");
    waits.get_future().wait();
    Socket closing = connect(server.server_address());  // of the other worker
    closing.sendall("close\n");
    CHECK(read_to_end(closing) == "done\n");
    CHECK(read_to_end(waiting) == "done\n");
    CHECK_THAT(error, Catch::Matchers::ContainsSubstring("recv: Bad file descriptor"));
}

TEST_CASE("many workers and threads use the same connections, and all are heard") {
    const TimeLimit limit;
    Room room;
    CallingServer server{[&](Calling& handler) { serve_in_room(room, handler); }, 2};
    ServingThread serving{server};
    const Address address = server.server_address();
    constexpr unsigned count = 6;
    constexpr int lines = under_tsan ? 100 : 400;
    std::vector<std::unique_ptr<Chatter>> chatters;
    for (unsigned i = 0; i < count; ++i) {
        chatters.push_back(std::make_unique<Chatter>(address, i));
    }
    {
        std::vector<std::jthread> threads;
        // Half of them mostly listen: their handlers wait for input while others send to them.
        for (unsigned i = 0; i < count; ++i) {
            threads.emplace_back(
                [&, i] { chatters.at(i)->send_lines(i % 2 == 0 ? lines : lines / 50); });
        }
        for (unsigned i = 0; i < 2; ++i) threads.emplace_back([&, i] { be_rude(address, i); });
        threads.emplace_back([&] {
            std::mt19937 random{99};
            for (int i = 0; i < lines; ++i) {
                if (const auto member = room.somebody()) member->send(any_line(random));
            }
        });
    }
    for (auto& chatter : chatters) CHECK(chatter->is_heard());
    for (auto& chatter : chatters) CHECK(chatter->all_lines_whole());
}

TEST_CASE("a server is stopped while its workers send to each other's connections") {
    const TimeLimit limit;
    for (int round = 0; round < 5; ++round) {
        Room room;
        CallingServer server{[&](Calling& handler) { serve_in_room(room, handler); }, 2};
        ServingThread serving{server};
        const Address address = server.server_address();
        std::atomic<int> sent{0};
        std::vector<std::jthread> clients;
        for (unsigned i = 0; i < 6; ++i) {
            clients.emplace_back([&, i] {
                std::mt19937 random{i};
                try {
                    Socket socket = connect(address);
                    for (;; ++sent) {
                        socket.sendall(any_line(random));
                        // Half of them read, so that others have to wait.
                        if (i % 2 == 0) socket.recv(100'000);
                    }
                } catch (const std::system_error&) {
                    // The server has been stopped.
                }
            });
        }
        CHECK(eventually([&] { return sent > 50 * (round + 1); }));
        serving.stop();
        CHECK_FALSE(serving.error());
        server.server_close();
    }
}
