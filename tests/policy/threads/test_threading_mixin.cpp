// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/counts.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

using EchoServer = TCPServer<StreamEcho, ThreadingMixIn>;

/// Answers "ready\n" at once, then waits for the end of the client.
class Idle : public StreamRequestHandler {
    void handle() override {
        wfile().write("ready\n");
        rfile().read();
    }
};

Socket ready_client(const Address& address) {
    Socket client = connect(address);
    if (client.recv(6) != "ready\n") throw std::runtime_error("not served");
    return client;
}

}  // namespace

TEST_CASE("threading: each request at once, however many") {
    const TimeLimit limit;
    const std::size_t before = thread_count();
    {
        TCPServer<Idle, ThreadingMixIn> server{any_port};
        ServingThread serving{server};
        std::vector<Socket> clients;
        for (int i = 0; i < 300; ++i) clients.push_back(ready_client(server.server_address()));
        CHECK(eventually([&] { return thread_count() == before + 1 + 300; }));
        clients.clear();
    }
    CHECK(eventually([&] { return thread_count() == before; }));
}

TEST_CASE("threading: one thread serves clients that come one after the other") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void handle() override {
            wfile().print("{}", std::hash<std::thread::id>{}(std::this_thread::get_id()));
        }
    };
    int created = 0;
    const Scripted<&Calls::pthread_create> count{[&](auto... arguments) {
        ++created;
        return detail::sys::kernel.pthread_create(arguments...);
    }};
    TCPServer<Handler, ThreadingMixIn> server{any_port};
    ServingThread serving{server};
    std::set<std::string> threads;
    for (int i = 0; i < 200; ++i) {
        Socket client = connect(server.server_address());
        threads.insert(read_to_end(client));
    }
    serving.stop();
    // A client sees its end a moment before its thread waits again: now and then two threads, or
    // three, take turns; never one for each client.
    CHECK(threads.size() < 50);
    CHECK(static_cast<std::size_t>(created) >= threads.size());
    CHECK(created < 50);
}

TEST_CASE("threading: nothing is kept of threads that have gone") {
    const TimeLimit limit;
    const std::size_t before = thread_count();
    TCPServer<Idle, ThreadingMixIn> server{any_port};
    ServingThread serving{server};
    {
        // More than the threads that are kept for the next client.
        std::vector<Socket> clients;
        for (int i = 0; i < 200; ++i) clients.push_back(ready_client(server.server_address()));
    }
    CHECK(eventually([&] { return thread_count() <= before + 1 + 128; }));
    serving.stop();
    server.server_close();
    CHECK(eventually([&] { return thread_count() == before; }));
}

TEST_CASE("threading: server_close() waits for the requests that are being served") {
    const TimeLimit limit;
    std::atomic<bool> finished{false};
    class Handler : public StreamRequestHandler {
      public:
        explicit Handler(std::atomic<bool>& finished) : finished_{finished} {}

      private:
        void handle() override {
            wfile().write("ready\n");
            rfile().read();
            finished_ = true;
        }
        std::atomic<bool>& finished_;
    };
    TCPServer<Handler, ThreadingMixIn> server{any_port, {}, [&] { return Handler{finished}; }};
    ServingThread serving{server};
    Socket client = ready_client(server.server_address());
    serving.stop();
    std::atomic<bool> closing{false};
    std::thread closer{[&] {
        closing = true;
        server.server_close();
        // Were it not waiting, the handler could not have finished yet.
        closing = finished.load();
    }};
    CHECK(eventually([&] { return closing.load(); }));
    client.close();
    closer.join();
    CHECK(closing);
    CHECK(finished);
}

TEST_CASE("threading: daemons and others at once") {
    const TimeLimit limit;
    const std::size_t threads = thread_count();
    TCPServer<Idle, ThreadingMixIn> server{any_port};
    ServingThread serving{server};
    Socket ordinary = ready_client(server.server_address());
    serving.stop();
    server.daemon_threads = true;  // read when a request begins
    ServingThread again{server};
    Socket daemon = ready_client(server.server_address());
    again.stop();
    ClosingThread closing{server};
    ordinary.shutdown(ShutdownHow::write);
    closing.join();  // waited for the ordinary one only: the daemon's client is still there
    CHECK(closing.closed());
    daemon.close();
    CHECK(eventually([&] { return thread_count() <= threads; }));
}

TEST_CASE("threading: a thread that cannot be created costs that request and nothing else") {
    const TimeLimit limit;
    class Server : public TCPServer<StreamEcho, ThreadingMixIn> {
      public:
        Server() : TCPServer{any_port} {}
        ~Server() override { server_close(); }
        std::vector<std::error_code> errors;  // of the serving thread, read when it has ended
        std::atomic<int> shutdowns{0};

      protected:
        void handle_error(Socket&, const Address&, std::exception_ptr error) override {
            try {
                std::rethrow_exception(error);
            } catch (const std::system_error& failure) {
                errors.push_back(failure.code());
            }
        }
        void shutdown_request(Socket& request) override {
            ++shutdowns;
            TCPServer::shutdown_request(request);
        }
    };
    const std::size_t descriptors = open_descriptors();
    {
        std::atomic<int> failures{3};
        const Scripted<&Calls::pthread_create> script{[&](auto... arguments) {
            if (failures.fetch_sub(1) > 0) return EAGAIN;
            return detail::sys::kernel.pthread_create(arguments...);
        }};
        Server server;
        ServingThread serving{server};
        for (int i = 0; i < 3; ++i) {
            Socket client = connect(server.server_address());
            CHECK(read_to_end(client) == "");
        }
        CHECK(ask(server.server_address(), "x\n") == "x\n");
        serving.stop();
        CHECK_FALSE(serving.error());
        REQUIRE(server.errors.size() == 3);
        CHECK(server.errors.front() == std::errc::resource_unavailable_try_again);
        server.server_close();  // nothing is left to join of what never began
        CHECK(server.shutdowns == 4);
    }
    // A daemon of an earlier test may have closed its connection meanwhile.
    CHECK(eventually([&] { return open_descriptors() <= descriptors; }));
}

TEST_CASE("threading: server_close() right after serving began, many times") {
    const TimeLimit limit;
    const Counts before;
    for (int i = 0; i < 100; ++i) {
        EchoServer server{any_port};
        ServingThread serving{server};
        std::thread client{[&] {
            try {
                ask(server.server_address(), "x\n");
            } catch (const std::system_error&) {
                // Closed before it was served: refused, or reset.
            }
        }};
        server.server_close();
        client.join();
    }
    CHECK(before.are_back());
}

TEST_CASE("threading: many clients at once from many threads") {
    const TimeLimit limit;
    EchoServer server{any_port};
    ServingThread serving{server};
    std::atomic<int> right{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 8; ++i) {
        clients.emplace_back([&, i] {
            for (int j = 0; j < 50; ++j) {
                const std::string line = std::to_string(i * 1000 + j) + "\n";
                if (ask(server.server_address(), line) == line) ++right;
            }
        });
    }
    for (std::thread& client : clients) client.join();
    CHECK(right == 400);
}

TEST_CASE("threading: a handler may receive in one thread and send in another") {
    const TimeLimit limit;
    constexpr int count = 2000;
    class Handler : public StreamRequestHandler {
        void handle() override {
            std::jthread sender{[this] {
                for (int i = 0; i < count; ++i) connection().sendall("to the client\n");
            }};
            int lines = 0;
            while (lines < count && !rfile().readline().empty()) ++lines;
            sender.join();
            wfile().print("{}\n", lines);
        }
    };
    TCPServer<Handler, ThreadingMixIn> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    std::jthread sender{[&] {
        for (int i = 0; i < count; ++i) client.sendall("to the server\n");
        client.shutdown(ShutdownHow::write);
    }};
    const std::string all = read_to_end(client);
    CHECK(all.size() == count * std::string{"to the client\n"}.size() + 5);
    CHECK_THAT(all, Catch::Matchers::EndsWith("\n2000\n"));
}
