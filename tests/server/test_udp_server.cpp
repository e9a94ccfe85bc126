// SPDX-License-Identifier: MIT
#include <atomic>
#include <future>
#include <string>
#include <thread>

#include <sys/socket.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

constexpr std::size_t largest_datagram = 65507;

/// Replies with what the datagram was, as text.
class Describe : public DatagramRequestHandler {
    void handle() override {
        wfile().print("{} {}", request().data().size(), request().truncated());
    }
};

/// Whether a datagram waits that the server should not have sent. What the server did is over when
/// it has answered a later request.
bool has_datagram(Socket& client) {
    char byte = 0;
    return ::recv(client.fileno(), &byte, 1, MSG_DONTWAIT) != -1;
}

}  // namespace

TEST_CASE("the largest datagram passes whole, both ways") {
    const TimeLimit limit;
    class Echo : public DatagramRequestHandler {
        void handle() override { wfile().write(rfile().read()); }
    };
    UDPServer<Echo> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address(), SocketType::datagram);
    std::string data(largest_datagram, '\0');
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 7 % 253);
    client.sendall(data);
    CHECK((client.recv(70'000) == data));
}

TEST_CASE("a datagram that is cut says so") {
    const TimeLimit limit;
    UDPServer<Describe> server{any_port, {.max_packet_size = 100}};
    ServingThread serving{server};
    Socket client = connect(server.server_address(), SocketType::datagram);
    for (const auto& [size, reply] :
         {std::pair{99, "99 false"}, {100, "100 false"}, {101, "100 true"}, {60000, "100 true"}}) {
        client.sendall(std::string(static_cast<std::size_t>(size), 'x'));
        CHECK(client.recv(100) == reply);
    }
}

TEST_CASE("an empty datagram is delivered") {
    const TimeLimit limit;
    UDPServer<Describe> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address(), SocketType::datagram);
    client.sendall("");
    CHECK(client.recv(100) == "0 false");
}

TEST_CASE("no reply is sent when nothing was written, or when handle() threw") {
    const TimeLimit limit;
    class Handler : public DatagramRequestHandler {
        void handle() override {
            if (request().data() == "silent") return;
            wfile().write(request().data());
            if (request().data() == "fail") throw std::runtime_error("planned");
        }
    };
    class Server : public UDPServer<Handler> {
      public:
        Server() : UDPServer{any_port} {}
        std::atomic<int> errors{0};

      protected:
        void handle_error(Datagram&, const Address&, std::exception_ptr) override { ++errors; }
    };
    Server server;
    ServingThread serving{server};
    Socket client = connect(server.server_address(), SocketType::datagram);
    client.sendall("silent");
    client.sendall("fail");
    CHECK(ask(client, "last") == "last");  // and not what came before it
    CHECK_FALSE(has_datagram(client));
    CHECK(server.errors == 1);
}

TEST_CASE("a handler that still runs may reply after server_close()") {
    const TimeLimit limit;
    struct Gate {
        std::promise<void> entered;
        std::promise<void> open;
    };
    class Handler : public DatagramRequestHandler {
      public:
        explicit Handler(Gate& gate) : gate_{gate} {}

      private:
        void handle() override {
            gate_.entered.set_value();
            gate_.open.get_future().wait();
            wfile().write("late");
        }
        Gate& gate_;
    };
    Gate gate;
    UDPServer<Handler, ThreadingMixIn> server{any_port, {}, [&] { return Handler{gate}; }};
    const Address address = server.server_address();
    Socket client = connect(address, SocketType::datagram);
    ServingThread serving{server};
    client.sendall("x");
    gate.entered.get_future().wait();
    std::thread closer{[&] { server.server_close(); }};
    serving.join();  // server_close() has ended the serve and let go of the socket
    gate.open.set_value();
    closer.join();
    CHECK(server.fileno() == -1);
    CHECK(client.recv(100) == "late");
}

TEST_CASE("an unbound Unix sender is served and not answered") {
    const TimeLimit limit;
    class Handler : public DatagramRequestHandler {
      public:
        explicit Handler(std::atomic<int>& count) : count_{count} {}

      private:
        void handle() override {
            if (client_address().empty()) ++count_;
            wfile().write("reply");
        }
        std::atomic<int>& count_;
    };
    class Server : public UnixDatagramServer<Handler> {
      public:
        explicit Server(std::atomic<int>& count)
            : UnixDatagramServer{
                  "@" + own_name("unbound"), {}, [&count] { return Handler{count}; }} {}
        std::atomic<int> errors{0};

      protected:
        void handle_error(Datagram&, const Address&, std::exception_ptr) override { ++errors; }
    };
    std::atomic<int> without_address{0};
    Server server{without_address};
    ServingThread serving{server};
    Socket unbound{server.server_address(), SocketType::datagram};
    unbound.sendto("x", server.server_address());
    CHECK(ask(server.server_address(), "reply", SocketType::datagram) == "reply");
    CHECK(without_address == 1);
    CHECK(server.errors == 0);
}

TEST_CASE("a client that is gone when the reply comes does not stop the server") {
    const TimeLimit limit;
    UDPServer<DatagramEcho> server{any_port};
    ServingThread serving{server};
    for (int i = 0; i < 10; ++i) {
        connect(server.server_address(), SocketType::datagram).sendall("gone\n");
        CHECK(ask(server.server_address(), "x\n", SocketType::datagram) == "x\n");
    }
}

TEST_CASE("threading: datagrams are served at once, not one after the other") {
    const TimeLimit limit;
    class Meet : public DatagramRequestHandler {
      public:
        explicit Meet(std::atomic<int>& there) : there_{there} {}

      private:
        void handle() override {
            ++there_;
            wfile().write(eventually([&] { return there_ == 5; }) ? "met" : "alone");
        }
        std::atomic<int>& there_;
    };
    std::atomic<int> there{0};
    UDPServer<Meet, ThreadingMixIn> server{any_port, {}, [&] { return Meet{there}; }};
    ServingThread serving{server};
    Socket client = connect(server.server_address(), SocketType::datagram);
    for (int i = 0; i < 5; ++i) client.sendall("x");
    for (int i = 0; i < 5; ++i) CHECK(client.recv(100) == "met");
}

TEST_CASE("UDP over IPv6, and \"::\" with an IPv4 client") {
    const TimeLimit limit;
    UDPServer<DatagramEcho> server{Address{"::", 0}};
    ServingThread serving{server};
    const auto port = server.server_address().port();
    CHECK(ask(Address{"::1", port}, "6\n", SocketType::datagram) == "6\n");
    CHECK(ask(Address{"127.0.0.1", port}, "4\n", SocketType::datagram) == "4\n");
}
