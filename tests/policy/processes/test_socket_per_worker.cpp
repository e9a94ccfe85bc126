// SPDX-License-Identifier: MIT
// ServerOptions::socket_per_worker: how clients are spread, and what becomes of what waits in each
// of the sockets.
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "socketserver/upgrade.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/in_child.hpp"
#include "support/sanitizers.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

#ifdef SOCKETSERVER_TEST_FIBER
#    include "socketserver/fiber_mixin.hpp"
#endif

namespace {

using namespace socketserver;
using namespace socketserver::tests;

struct Board {
    std::atomic<int> waiting{0};
    std::atomic<bool> open{false};
};

/// How many descriptors of this process are UDP sockets with this port as their own.
int sockets_on(std::int64_t port) {
    int count = 0;
    for (int fd = 0; fd < 200; ++fd) {
        int type = 0;
        socklen_t size = sizeof type;
        sockaddr_storage raw{};
        socklen_t length = sizeof raw;
        if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == -1 || type != SOCK_DGRAM ||
            ::getsockname(fd, reinterpret_cast<sockaddr*>(&raw), &length) == -1) {
            continue;
        }
        // The port lies at the same place in both families.
        const auto& inet = reinterpret_cast<const sockaddr_in&>(raw);
        if ((raw.ss_family == AF_INET || raw.ss_family == AF_INET6) &&
            ntohs(inet.sin_port) == port) {
            ++count;
        }
    }
    return count;
}

/// Replies to each datagram with the process id of its worker, and with what the datagram asks for.
class Obedient : public DatagramRequestHandler {
  public:
    explicit Obedient(Board& board) : board_{board} {}

  private:
    void handle() override {
        const std::string asked = request().data();
        std::string reply = asked;
        if (asked == "wait") {
            ++board_.waiting;
            eventually([this] { return board_.open.load(); });
        } else if (asked == "sockets") {
            reply = std::to_string(sockets_on(request().local_address().port()));
        } else if (asked == "flags") {
            reply = std::to_string(::fcntl(request().socket().fileno(), F_GETFD));
        } else if (asked == "tos") {
            reply = std::to_string(request().socket().getsockopt(IPPROTO_IP, IP_TOS));
        } else if (asked == "buffer") {
            reply = std::to_string(request().socket().getsockopt(SOL_SOCKET, SO_RCVBUF));
        } else if (asked == "v6only") {
            reply = std::to_string(request().socket().getsockopt(IPPROTO_IPV6, IPV6_V6ONLY));
        }
        wfile().print("{} {}", ::getpid(), reply);
    }
    Board& board_;
};

template <template <class> class MixIn = PreforkMixIn>
class Server : public UDPServer<Obedient, MixIn> {
    using Base = UDPServer<Obedient, MixIn>;

  public:
    explicit Server(Board& board, std::size_t count = 2, const Address& address = any_port,
                    ServerOptions options = {})
        : Base{address, with_sockets(std::move(options)), [&board] { return Obedient{board}; }},
          board_{board} {
        this->workers = count;
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() override {
        board_.open = true;
        this->server_close();
    }

  private:
    static ServerOptions with_sockets(ServerOptions options) {
        options.socket_per_worker = true;
        return options;
    }
    /// Tests kill workers.
    void handle_server_error(std::exception_ptr) override {}

    Board& board_;
};

Socket client_of(const ServerBase& server) {
    Address address = server.server_address();
    if (address.host() == "0.0.0.0") address = Address{"127.0.0.1", address.port()};
    if (address.host() == "::") address = Address{"::1", address.port()};
    return connect(address, SocketType::datagram);
}

struct Reply {
    int pid = 0;
    std::string text;
};

Reply receive(Socket& client) {
    const std::string data = client.recv(1000);
    Reply reply;
    std::from_chars(data.data(), data.data() + data.size(), reply.pid);
    reply.text = data.substr(data.find(' ') + 1);
    return reply;
}

Reply say(Socket& client, const std::string& text = "hello") {
    client.sendall(text);
    return receive(client);
}

/// One client for each worker, by process id: of many clients the first that each worker has.
std::map<int, Socket> client_of_each(const auto& server, std::size_t workers) {
    REQUIRE(has_workers(server, workers));
    std::map<int, Socket> clients;
    for (int tries = 0; clients.size() < workers && tries < 1000; ++tries) {
        Socket client = client_of(server);
        const int pid = say(client).pid;
        clients.try_emplace(pid, std::move(client));
    }
    REQUIRE(clients.size() == workers);
    return clients;
}

/// Lets each worker serve a datagram, until the board is opened.
void keep_busy(std::map<int, Socket>& clients, const Board& board) {
    for (auto& [pid, client] : clients) client.sendall("wait");
    REQUIRE(eventually([&] { return board.waiting == static_cast<int>(clients.size()); }));
}

/// The kernel has nothing more for this client.
bool gets_nothing(Socket& client) {
    client.settimeout(0s);
    try {
        client.recv(1000);
    } catch (const std::system_error&) {
        return true;
    }
    return false;
}

void spreads(auto& server) {
    const Counts before;
    {
        ServingThread serving{server};
        REQUIRE(has_workers(server, server.workers));
        std::map<int, int> clients_of;
        std::deque<Socket> clients;
        for (int i = 0; i < 64; ++i) {
            Socket& client = clients.emplace_back(client_of(server));
            ++clients_of[say(client).pid];
        }
        for (const int pid : server.worker_pids()) CHECK(clients_of[pid] > 0);
        for (Socket& client : clients) {
            const int pid = say(client).pid;
            for (int i = 0; i < 5; ++i) CHECK(say(client).pid == pid);
            CHECK(gets_nothing(client));
        }
        CHECK(server.statistics().accepted == 64 * 7);
        CHECK(eventually([&] { return server.statistics().active == 0; }));
    }
    server.server_close();
}

}  // namespace

TEST_CASE("socket_per_worker: clients are spread, and each has one worker") {
    const TimeLimit limit;
    const Counts before;
    const Shared<Board> board;
    SECTION("one address of IPv4") {
        Server server{*board, 4};
        spreads(server);
    }
    SECTION("every address of IPv4") {
        Server server{*board, 4, {"", 0}};
        spreads(server);
    }
    SECTION("one address of IPv6") {
        Server server{*board, 4, {"::1", 0}};
        spreads(server);
    }
    SECTION("every address of both") {
        Server server{*board, 4, {"::", 0}};
        spreads(server);
    }
    SECTION("one worker") {
        Server server{*board, 1};
        spreads(server);
    }
    SECTION("threads in the workers") {
        Server<PreforkOf<ThreadingMixIn>::MixIn> server{*board, 3};
        spreads(server);
    }
    SECTION("pools in the workers") {
        Server<PreforkOf<ThreadPoolMixIn>::MixIn> server{*board, 3};
        spreads(server);
    }
#ifdef SOCKETSERVER_TEST_FIBER
    SECTION("fibers in the workers") {
        Server<PreforkOf<FiberMixIn>::MixIn> server{*board, 3};
        spreads(server);
    }
#endif
    CHECK(before.are_back());
}

TEST_CASE("socket_per_worker: children of the workers answer through the worker's socket") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server<PreforkOf<ForkingMixIn>::MixIn> server{*board, 3};
    ServingThread serving{server};
    for (int i = 0; i < 20; ++i) {
        Socket client = client_of(server);
        CHECK(say(client).text == "hello");
        CHECK(say(client, "sockets").text == "1");
    }
    serving.stop();
    server.workers = 1;  // which has all sockets
    ServingThread again{server};
    for (int i = 0; i < 20; ++i) {
        Socket client = client_of(server);
        CHECK(say(client).text == "hello");
    }
}

TEST_CASE("socket_per_worker: no effect under policies without workers") {
    const TimeLimit limit;
    const Shared<Board> board;
    UDPServer<Obedient, ThreadingMixIn> server{
        any_port, {.socket_per_worker = true}, [&] { return Obedient{*board}; }};
    ServingThread serving{server};
    Socket client = client_of(server);
    CHECK(say(client).text == "hello");
    CHECK(sockets_on(server.server_address().port()) == 1);
}

TEST_CASE("socket_per_worker: what waits for a worker that is killed, the next one serves") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server server{*board, 2};
    ServingThread serving{server};
    auto clients = client_of_each(server, 2);
    for (auto& [pid, client] : clients) {
        board->open = false;
        board->waiting = 0;
        client.sendall("wait");
        REQUIRE(eventually([&] { return board->waiting == 1; }));
        for (int i = 0; i < 50; ++i) client.sendall(std::to_string(i));
        REQUIRE(::kill(pid, SIGKILL) == 0);
        board->open = true;
        for (int i = 0; i < 50; ++i) {
            const Reply reply = receive(client);
            CHECK(reply.text == std::to_string(i));
            CHECK(reply.pid != pid);
        }
        CHECK(gets_nothing(client));  // what the worker was serving died with it
        client.settimeout(patience);
    }
    CHECK(eventually([&] { return server.statistics().active == 0; }));
    CHECK(server.statistics().closed_by[static_cast<std::size_t>(CloseReason::error)] == 2);
    CHECK(server.statistics().datagrams_dropped == 0);
}

TEST_CASE("socket_per_worker: a worker that retires leaves its clients to the next one") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server server{*board, 3};
    SECTION("asked to") {
        ServingThread serving{server};
        auto clients = client_of_each(server, 3);
        const auto retired = clients.begin();
        REQUIRE(server.retire_worker(retired->first));
        CHECK(eventually([&] { return say(retired->second).pid != retired->first; }));
        for (auto each = std::next(retired); each != clients.end(); ++each) {
            CHECK(say(each->second).pid == each->first);
        }
    }
    SECTION("after so many requests") {
        server.max_requests = 5;
        ServingThread serving{server};
        std::deque<Socket> clients;
        for (int i = 0; i < 12; ++i) clients.push_back(client_of(server));
        for (int i = 0; i < 20; ++i) {
            for (Socket& client : clients) client.sendall(std::to_string(i));
        }
        for (Socket& client : clients) {
            std::set<std::string> texts;
            for (int i = 0; i < 20; ++i) texts.insert(receive(client).text);
            CHECK(texts.size() == 20);
        }
    }
    CHECK(server.statistics().datagrams_dropped == 0);
}

TEST_CASE("socket_per_worker: a drain serves what waits in every socket, and nothing after it") {
    const TimeLimit limit;
    const Shared<Board> board;
    auto server = std::make_unique<Server<>>(*board, 3);
    const Address address = server->server_address();
    ServingThread serving{*server};
    auto clients = client_of_each(*server, 3);
    keep_busy(clients, *board);
    for (auto& [pid, client] : clients) {
        for (int i = 0; i < 20; ++i) client.sendall(std::to_string(i));
    }
    const auto before = server->statistics();
    std::thread draining{[&] { server->drain(20s); }};
    REQUIRE(eventually([&] { return server->is_draining(); }));
    SECTION("by the workers") {
        board->open = true;
        draining.join();
        for (auto& [pid, client] : clients) {
            CHECK(receive(client).text == "wait");
            for (int i = 0; i < 20; ++i) {
                const Reply reply = receive(client);
                CHECK(reply.text == std::to_string(i));
                CHECK(reply.pid == pid);
            }
        }
        CHECK(server->statistics().closed() - before.closed() == 63);
    }
    SECTION("by the parent, for one that is killed meanwhile") {
        const int killed = clients.rbegin()->first;
        ::kill(killed, SIGKILL);
        board->open = true;
        draining.join();
        for (auto& [pid, client] : clients) {
            if (pid != killed) CHECK(receive(client).text == "wait");
            for (int i = 0; i < 20; ++i) {
                const Reply reply = receive(client);
                CHECK(reply.text == std::to_string(i));
                CHECK(reply.pid == (pid == killed ? ::getpid() : pid));
            }
        }
    }
    // Every socket is closed: nobody has the address.
    CHECK(sockets_on(address.port()) == 0);
    Server next{*board, 2, address};
}

TEST_CASE("socket_per_worker: what comes in a drain is dropped") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server server{*board, 2};
    ServingThread serving{server};
    auto clients = client_of_each(server, 2);
    keep_busy(clients, *board);
    std::thread draining{[&] { server.drain(20s); }};
    REQUIRE(eventually([&] { return server.is_draining(); }));
    for (auto& [pid, client] : clients) client.sendall("late");
    board->open = true;
    draining.join();
    for (auto& [pid, client] : clients) {
        CHECK(receive(client).text == "wait");
        CHECK(gets_nothing(client));
    }
}

TEST_CASE("socket_per_worker: a drain that leaves the queue ends those of the further sockets") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server server{*board, 3};
    const Socket other{::dup(server.fileno())};  // as another process might have it
    ServingThread serving{server};
    auto clients = client_of_each(server, 3);
    keep_busy(clients, *board);
    // A worker looks for orders after 16 datagrams at the latest.
    constexpr int sent = 100;
    for (auto& [pid, client] : clients) {
        for (int i = 0; i < sent; ++i) client.sendall("more");
    }
    std::thread draining{[&] { server.drain(20s, AcceptQueue::leave); }};
    REQUIRE(eventually([&] { return server.worker_pids().empty(); }));  // all are told
    board->open = true;
    draining.join();
    int left = 0;
    std::array<char, 10> data{};
    while (::recv(other.fileno(), data.data(), data.size(), MSG_DONTWAIT) == 4) ++left;
    CHECK(left > 0);
    int complete = 0;
    for (auto& [pid, client] : clients) {
        int served = 0;
        CHECK(receive(client).text == "wait");
        while (!gets_nothing(client)) ++served;
        CHECK((served == sent || served == sent - left));
        if (served == sent) ++complete;
    }
    CHECK(complete == 2);
}

TEST_CASE("socket_per_worker: what waits after a stop, any number of workers serves") {
    const TimeLimit limit;
    const Counts before;
    const Shared<Board> board;
    {
        Server server{*board, 3};
        std::deque<Socket> clients;
        for (int i = 0; i < 40; ++i) clients.push_back(client_of(server));
        const auto all_ask = [&] {
            for (Socket& client : clients) client.sendall("hello");
        };
        const auto all_are_answered = [&] {
            for (Socket& client : clients) CHECK(receive(client).text == "hello");
        };
        all_ask();  // before there is more than one socket
        for (const std::size_t workers : {3U, 1U, 5U, 2U}) {
            server.workers = workers;
            ServingThread serving{server};
            all_are_answered();
            all_ask();
            all_are_answered();
            REQUIRE(has_workers(server, workers));
            serving.stop();
            all_ask();
        }
        // handle_request() takes from each of them in turn.
        for (std::size_t i = 0; i < clients.size(); ++i) server.handle_request();
        all_are_answered();
        CHECK(sockets_on(server.server_address().port()) == 5);
        // A drain without a loop: there are workers for it.
        all_ask();
        server.drain(20s);
        all_are_answered();
        CHECK(server.statistics().datagrams_dropped == 0);
    }
    CHECK(before.are_back());
}

TEST_CASE("socket_per_worker: what the kernel dropped is summed up") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server server{*board, 3, any_port, {.max_packet_size = 200}};
    server.socket().set_receive_buffer(1);  // the kernel's least, for each socket
    std::uint64_t sent = 0;
    for (int round = 0; round < 2; ++round) {  // again, because the kernel goes on counting
        ServingThread serving{server};
        auto clients = client_of_each(server, 3);
        sent = server.statistics().accepted + server.statistics().datagrams_dropped;
        board->open = false;
        board->waiting = 0;
        keep_busy(clients, *board);
        sent += 3;
        for (auto& [pid, client] : clients) {
            for (int i = 0; i < 100; ++i) client.sendall(std::string(300, 'x'));
            sent += 100;
        }
        board->open = true;
        // The kernel tells with the next datagram that finds room.
        for (auto& [pid, client] : clients) {
            client.settimeout(20ms);
            for (bool answered = false; !answered;) {
                client.sendall("last");
                ++sent;
                try {
                    while (receive(client).text != "last") {
                    }
                    answered = true;
                } catch (const TimeoutError&) {
                    continue;
                }
            }
        }
        // A "last" that came late may still be under way.
        CHECK(eventually([&] {
            const Statistics now = server.statistics();
            return now.accepted + now.datagrams_dropped == sent;
        }));
        CHECK(server.statistics().datagrams_dropped > 200U * (static_cast<unsigned>(round) + 1));
        CHECK(server.statistics().datagrams_truncated >= 3U);
    }
}

TEST_CASE("socket_per_worker: limits of replies count for all sockets together") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server server{*board, 3, any_port, {.max_reply_rate = 10}};
    ServingThread serving{server};
    REQUIRE(has_workers(server, 3));
    std::deque<Socket> clients;
    for (int i = 0; i < 60; ++i) clients.emplace_back(client_of(server)).sendall("hello");
    CHECK(eventually([&] { return server.statistics().closed() == 60; }));
    CHECK(server.statistics().replies_withheld > 0);
    std::uint64_t answered = 0;
    for (Socket& client : clients) answered += gets_nothing(client) ? 0U : 1U;
    CHECK(answered + server.statistics().replies_withheld == 60);
}

TEST_CASE("socket_per_worker: a worker has its own socket, closed on exec, with the options set") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server server{*board, 3, {"", 0}};
    server.socket().set_receive_buffer(50'000);
    server.socket().setsockopt(IPPROTO_IP, IP_TOS, 0x10);
    const int buffer = server.socket().getsockopt(SOL_SOCKET, SO_RCVBUF);
    ServingThread serving{server};
    auto clients = client_of_each(server, 3);
    for (auto& [pid, client] : clients) {
        CHECK(say(client, "sockets").text == "1");
        CHECK(say(client, "flags").text == std::to_string(FD_CLOEXEC));
        CHECK(say(client, "tos").text == std::to_string(0x10));
        CHECK(say(client, "buffer").text == std::to_string(buffer));
    }
    CHECK(sockets_on(server.server_address().port()) == 3);
}

TEST_CASE("socket_per_worker: a server_bind() of one's own") {
    const TimeLimit limit;
    const Shared<Board> board;
    class OnlyIPv6 : public UDPServer<Obedient, PreforkMixIn> {
      public:
        explicit OnlyIPv6(Board& board)
            : UDPServer{Address{"::", 0},
                        {.bind_and_activate = false, .socket_per_worker = true},
                        [&board] { return Obedient{board}; }} {
            workers = 3;
        }
        ~OnlyIPv6() override { server_close(); }
        using UDPServer::server_activate;
        void server_bind() override {
            socket().setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1);
            UDPServer::server_bind();
        }
    };
    OnlyIPv6 server{*board};
    CHECK(error_of([&] { server.serve_forever(); }) == EINVAL);  // it is not bound
    server.server_bind();
    server.server_activate();
    ServingThread serving{server};
    auto clients = client_of_each(server, 3);
    for (auto& [pid, client] : clients) CHECK(say(client, "v6only").text == "1");
}

TEST_CASE("socket_per_worker: a second server on the address is refused") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server server{*board, 2};
    const auto bind_again = [&] { Server second{*board, 2, server.server_address()}; };
    CHECK(error_of(bind_again) == EADDRINUSE);
    ServingThread serving{server};
    REQUIRE(has_workers(server, 2));
    CHECK(error_of(bind_again) == EADDRINUSE);
}

TEST_CASE("socket_per_worker: a group that the server has joined is served once") {
    const TimeLimit limit;
    const Shared<Board> board;
    Server server{*board, 3, {"", 0}};
    const Address group{"239.255.77.7", server.server_address().port()};
    const std::string interface = "lo";
    server.socket().join_group({.group = group, .interface = interface});
    ServingThread serving{server};
    REQUIRE(has_workers(server, 3));
    Socket client{Address{"127.0.0.1", 0}, SocketType::datagram};
    client.bind(Address{"127.0.0.1", 0});
    client.settimeout(patience);
    client.set_multicast_interface(interface);
    for (int i = 0; i < 10; ++i) {
        client.sendto("hello", group);
        CHECK(receive(client).text == "hello");
    }
    for (auto& [pid, each] : client_of_each(server, 3)) CHECK(say(each).pid == pid);
    CHECK(gets_nothing(client));
}

TEST_CASE("socket_per_worker: servers that cannot have it say so") {
    const TimeLimit limit;
    const ServerOptions options{.socket_per_worker = true};
    const Shared<Board> board;
    CHECK(error_of([&] { TCPServer<StreamEcho, PreforkMixIn>{any_port, options}; }) == EOPNOTSUPP);
    CHECK(error_of([&] {
              UnixStreamServer<StreamEcho, PreforkMixIn>{"@" + own_name("stream"), options};
          }) == EOPNOTSUPP);
    CHECK(error_of([&] {
              UnixDatagramServer<DatagramEcho, PreforkMixIn>{"@" + own_name("datagram"), options};
          }) == EOPNOTSUPP);
    CHECK(error_of([&] {
              UDPSessionServer<StreamEcho, PreforkMixIn>{any_port, options};
          }) == EOPNOTSUPP);
    Socket bound{any_port, SocketType::datagram};
    bound.bind(any_port);
    CHECK(error_of([&] {
              UDPServer<DatagramEcho, PreforkMixIn>{std::move(bound), options};
          }) == EOPNOTSUPP);
    Server server{*board};
    Pair pair = unix_pair();
    CHECK(error_of([&] { send_listener(pair.near, server); }) == EOPNOTSUPP);
    CHECK(error_of([&] { const UpgradeOnSignal upgrade{server}; }) == EOPNOTSUPP);
}

TEST_CASE("socket_per_worker: without a socket for each, serve_forever() throws") {
    const TimeLimit limit;
    const Counts before;
    const Shared<Board> board;
    {
        Server server{*board, 3};
        const auto fails_once = [&] { CHECK(error_of([&] { server.serve_forever(); }) == ENOMEM); };
        SECTION("the port cannot be shared") {
            const Scripted<&Calls::setsockopt> setsockopt{
                [&](int fd, int level, int option, const void* value, socklen_t size) {
                    if (level == SOL_SOCKET && option == SO_RXQ_OVFL) return fail(ENOMEM);
                    return sys::kernel.setsockopt(fd, level, option, value, size);
                }};
            fails_once();
        }
        SECTION("nothing can wait for all") {
            const Scripted<&Calls::epoll_create1> create{[&](int) { return fail(ENOMEM); }};
            fails_once();
        }
        SECTION("the third cannot be watched") {
            int left = 2;
            const Scripted<&Calls::epoll_ctl> control{
                [&](int epoll, int operation, int fd, epoll_event* event) {
                    if (left-- == 0) return fail(ENOMEM);
                    return sys::kernel.epoll_ctl(epoll, operation, fd, event);
                }};
            fails_once();
        }
        ServingThread serving{server};
        CHECK(client_of_each(server, 3).size() == 3);
    }
    CHECK(before.are_back());
}

TEST_CASE("socket_per_worker: a copy in another process has further sockets of its own") {
    if (!may_fork_beside_allocating_threads) return;
    const TimeLimit limit;
    const Shared<Board> board;
    Server server{*board, 2};
    {
        ServingThread serving{server};
        REQUIRE(has_workers(server, 2));
    }
    const std::int64_t port = server.server_address().port();
    const ChildEnd end = in_child([&] {
        ServingThread serving{server};
        if (!has_workers(server, 2)) ::_exit(2);
        if (sockets_on(port) != 2) ::_exit(3);
        serving.stop();
        server.server_close();
        if (sockets_on(port) != 0) ::_exit(4);
        ::_exit(0);
    });
    CHECK(end.exited_with(0));
    ServingThread serving{server};
    CHECK(client_of_each(server, 2).size() == 2);
}
