// SPDX-License-Identifier: MIT
// The processes that ForkingMixIn makes: what they hold, print, return, and survive.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/counts.hpp"
#include "support/forking_serving.hpp"
#include "support/sanitizers.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver;
using namespace socketserver::tests;

TEST_CASE("forking: a child does not hold the listening socket") {
    const TimeLimit limit;
    PidServer server{any_port, {.allow_reuse_address = true}};
    server.block_on_close = false;
    const Address address = server.server_address();
    ServingThread serving{server};
    PidClient client{address};
    const pid_t child = client.child();
    server.server_close();  // does not wait
    CHECK(::kill(child, 0) == 0);
    CHECK_THROWS_AS(connect(address), std::system_error);
    {
        // Nobody listens there any more.
        const EchoServer again{address, {.allow_reuse_address = true}};
        CHECK(again.server_address() == address);
    }
    client.end();
    CHECK(::waitpid(child, nullptr, 0) == child);  // left to us by block_on_close = false
}

TEST_CASE("forking: what stood in stdout's buffers is written once") {
    const TimeLimit limit;
    class Printing : public StreamRequestHandler {
        void handle() override {
            std::printf("child %s", std::string(rfile().readline()).c_str());
            std::cout << "stream ";
        }
    };
    std::FILE* file = std::tmpfile();
    REQUIRE(file != nullptr);
    std::cout.flush();
    std::fflush(stdout);
    const int before = ::dup(STDOUT_FILENO);
    ::dup2(::fileno(file), STDOUT_FILENO);
    std::printf("parent ");
    {
        TCPServer<Printing, ForkingMixIn> server{any_port};
        ServingThread serving{server};
        Socket client = connect(server.server_address());
        client.sendall("x ");
        client.shutdown(ShutdownHow::write);
        read_to_end(client);
    }
    std::fflush(stdout);
    ::dup2(before, STDOUT_FILENO);
    ::close(before);
    std::rewind(file);
    char text[100] = {};
    const std::size_t size = std::fread(text, 1, sizeof text, file);
    std::fclose(file);
    CHECK(std::string(text, size) == "parent child x stream ");
}

TEST_CASE("forking: a child ends with 0, or 1 after an exception") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void handle() override {
            if (rfile().readline() == "fail\n") throw std::runtime_error("planned");
        }
    };
    class Server : public TCPServer<Handler, ForkingMixIn> {
      public:
        Server() : TCPServer{any_port} {}

      protected:
        void handle_error(Socket&, const Address&, std::exception_ptr) override {}
    };
    std::vector<int> statuses;
    const Scripted<&Calls::waitpid> waitpid{[&](pid_t pid, int* status, int options) {
        const pid_t waited = detail::sys::kernel.waitpid(pid, status, options);
        if (waited == pid && WIFEXITED(*status)) statuses.push_back(WEXITSTATUS(*status));
        return waited;
    }};
    Server server;
    for (const char* line : {"fine\n", "fail\n"}) {
        Socket client = connect(server.server_address());
        client.sendall(line);
        server.handle_request();
        read_to_end(client);
        // Asked with nobody there, it only looks after the children.
        std::thread stopper{[&] {
            eventually([&] { return child_count() == 0; });
            server.shutdown();
        }};
        server.handle_request();
        stopper.join();
    }
    CHECK(statuses == std::vector<int>{0, 1});
}

TEST_CASE("forking: malloc and stdio work in the children of a program with busy threads") {
    const TimeLimit limit;
    std::FILE* null = std::fopen("/dev/null", "w");
    REQUIRE(null != nullptr);
    class Handler : public StreamRequestHandler {
      public:
        explicit Handler(std::FILE* null) : null_{null} {}

      private:
        void handle() override {
            ::alarm(50);  // a child does not inherit the time limit of the test
            std::vector<std::string> strings;
            for (std::size_t i = 0; i < 200; ++i) strings.emplace_back(i * 50, 'x');
            std::fprintf(null_, "%zu", strings.size());
            std::fflush(null_);
            wfile().write(rfile().readline());
        }
        std::FILE* null_;
    };
    std::atomic<bool> busy{true};
    std::atomic<int> begun{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&busy, &begun] {
            std::FILE* own = std::fopen("/dev/null", "w");
            std::string text(5000, 'y');
            // More than a FILE holds back, so that nothing has to be flushed: AddressSanitizer's
            // fflush() takes a lock, too, which nobody gives back in a child.
            const auto write = [&] { std::fwrite(text.data(), 1, text.size(), own); };
            write();
            ++begun;
            while (busy) {
                if (may_fork_beside_allocating_threads) text = std::string(5000, 'y');
                write();
            }
            std::fclose(own);
        });
    }
    CHECK(eventually([&] { return begun == 3; }));  // what each allocates once has been allocated
    {
        TCPServer<Handler, ForkingMixIn> server{any_port, {}, [&] { return Handler{null}; }};
        ServingThread serving{server};
        for (int i = 0; i < 50; ++i) CHECK(ask(server.server_address(), "x\n") == "x\n");
    }
    busy = false;
    for (std::thread& thread : threads) thread.join();
    std::fclose(null);
}

TEST_CASE("forking: a child that is killed, or aborts, harms nobody") {
    const TimeLimit limit;
    const std::size_t before = child_count();
    PidServer server{any_port};
    ServingThread serving{server};
    PidClient victim{server.server_address()};
    PidClient other{server.server_address()};
    const pid_t child = victim.child();
    other.child();
    REQUIRE(::kill(child, SIGKILL) == 0);
    CHECK(read_to_end(victim.socket) == "");
    CHECK(eventually([&] { return child_count() == before + 1; }));
    PidClient next{server.server_address()};
    CHECK(next.child() > 0);
    other.end();
    next.end();
}

TEST_CASE("forking: datagrams are served by children") {
    const TimeLimit limit;
    class Handler : public DatagramRequestHandler {
        void handle() override { wfile().print("{}", ::getpid()); }
    };
    UDPServer<Handler, ForkingMixIn> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address(), SocketType::datagram);
    client.sendall("x");
    CHECK(std::stoi(client.recv(20)) != ::getpid());
}
