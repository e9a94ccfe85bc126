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

#include "catch.hpp"
#include "counts.hpp"
#include "scripted_sys.hpp"
#include "serving.hpp"

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

namespace {

/// What a daemon's handler does once its server is gone.
struct Daemon {
    std::promise<void> go;
    std::shared_future<void> gone = go.get_future().share();
    std::promise<std::string> result;
    std::atomic<bool> destroyed{false};
};

class DaemonHandler : public StreamRequestHandler {
  public:
    explicit DaemonHandler(std::shared_ptr<Daemon> daemon) : daemon_{std::move(daemon)} {}
    ~DaemonHandler() override { daemon_->destroyed = true; }

  private:
    void handle() override {
        wfile().write("ready\n");
        daemon_->gone.wait();
        std::string found = client_address().host();
        try {
            server();
            found += " server";
        } catch (const std::logic_error&) {
            found += " no server";
        }
        wfile().write("still here\n");
        daemon_->result.set_value(found);
        if (rfile().readline() == "fail\n") throw std::runtime_error("planned");
    }
    std::shared_ptr<Daemon> daemon_;
};

/// Counts the hooks that run for a daemon's request. None may once the server is closed.
class DaemonServer : public TCPServer<DaemonHandler, ThreadingMixIn> {
  public:
    DaemonServer(const std::shared_ptr<Daemon>& daemon, std::atomic<int>& ends)
        : TCPServer{any_port, {}, [daemon] { return DaemonHandler{daemon}; }}, ends_{ends} {}
    ~DaemonServer() override { server_close(); }

  protected:
    void shutdown_request(Socket& request) override {
        ++ends_;
        TCPServer::shutdown_request(request);
    }
    void handle_error(Socket&, const Address&, std::exception_ptr) override { ++ends_; }

  private:
    std::atomic<int>& ends_;
};

}  // namespace

TEST_CASE("threading: a daemon thread may outlive its server") {
    const TimeLimit limit;
    const std::size_t threads = thread_count();
    const bool by_block_on_close = GENERATE(false, true);
    const bool fails = GENERATE(false, true);
    CAPTURE(by_block_on_close, fails);
    const std::size_t descriptors = open_descriptors();
    const auto daemon = std::make_shared<Daemon>();
    std::atomic<int> ends{0};
    Socket client;
    {
        DaemonServer server{daemon, ends};
        if (by_block_on_close) {
            server.block_on_close = false;
        } else {
            server.daemon_threads = true;
        }
        ServingThread serving{server};
        client = ready_client(server.server_address());
    }                                              // waits for nobody: this test would not go on
    CHECK(open_descriptors() == descriptors + 2);  // both ends of the connection
    daemon->go.set_value();
    CHECK(client.recv(100) == "still here\n");
    CHECK(daemon->result.get_future().get() == "127.0.0.1 no server");
    client.sendall(fails ? "fail\n" : "end\n");
    CHECK(read_to_end(client) == "");  // the connection is closed when the handler is done
    CHECK(eventually([&] { return thread_count() == threads; }));
    CHECK(daemon->destroyed);
    CHECK(ends == 0);
}

TEST_CASE("threading: a daemon of a server that lives is like any other request") {
    const TimeLimit limit;
    const auto daemon = std::make_shared<Daemon>();
    std::atomic<int> ends{0};
    {
        DaemonServer server{daemon, ends};
        server.daemon_threads = true;
        ServingThread serving{server};
        Socket client = ready_client(server.server_address());
        daemon->go.set_value();
        CHECK(daemon->result.get_future().get() == "127.0.0.1 server");
        client.sendall("fail\n");
        read_to_end(client);
        CHECK(eventually([&] { return ends == 2; }));
    }
    CHECK(ends == 2);
}

namespace {

/// "ask" asks the server something that takes its time; anything else waits until it has gone.
class Asking : public StreamRequestHandler {
    void handle() override;
};

class AskedServer : public TCPServer<Asking, ThreadingMixIn> {
  public:
    using TCPServer::TCPServer;
    ~AskedServer() override { server_close(); }

    void answer() {
        asked.set_value();
        may_answer.get_future().wait();
        answered = true;
    }

    std::promise<void> asked;
    std::promise<void> may_answer;
    std::atomic<bool> answered{false};
};

void Asking::handle() {
    if (rfile().readline() == "ask\n") return server<AskedServer>().answer();
    wfile().write("ready\n");
    try {
        for (;;) server();
    } catch (const std::logic_error&) {
        wfile().write("gone\n");
    }
}

}  // namespace

TEST_CASE("threading: what a daemon's handler asks its server is answered before the server goes") {
    const TimeLimit limit;
    AskedServer server{any_port};
    server.daemon_threads = true;
    Socket asking = connect(server.server_address());
    Socket watching = connect(server.server_address());
    bool was_answered = false;
    {
        ServingThread serving{server};
        asking.sendall("ask\n");
        server.asked.get_future().wait();
        CHECK(ask(watching, "watch\n") == "ready\n");
    }
    std::thread closing{[&] {
        server.server_close();
        was_answered = server.answered;
    }};
    CHECK(watching.recv(100) == "gone\n");  // nobody is let in any more: the close waits
    server.may_answer.set_value();
    closing.join();
    CHECK(was_answered);
    CHECK(read_to_end(asking) == "");
}

TEST_CASE("threading: daemons ask a server while it goes, many times") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void handle() override {
            wfile().write("ready\n");
            try {
                while (!server().is_draining() && server().statistics().accepted > 0) {
                }
            } catch (const std::logic_error&) {
                wfile().write("gone\n");
            }
        }
    };
    for (int i = 0; i < 100; ++i) {
        Socket client;
        {
            TCPServer<Handler, ThreadingMixIn> server{any_port};
            server.daemon_threads = true;
            ServingThread serving{server};
            client = ready_client(server.server_address());
        }
        CHECK(read_to_end(client) == "gone\n");
    }
}

TEST_CASE("threading: a daemon's handler serves a server of its own") {
    const TimeLimit limit;
    const bool outer_goes_first = GENERATE(false, true);
    CAPTURE(outer_goes_first);
    class Data : public StreamRequestHandler {
        void handle() override { wfile().write(rfile().readline()); }
    };
    class Outer : public StreamRequestHandler {
        // As the data connection of FTP: its port is told first.
        void handle() override {
            TCPServer<Data> data{any_port};
            wfile().print("{}\n", data.server_address().port());
            if (rfile().readline() == "wait\n") {
                try {
                    for (;;) server();
                } catch (const std::logic_error&) {
                    wfile().write("gone\n");
                }
            }
            data.handle_request();
            wfile().write("done\n");
        }
    };
    Socket control;
    Address data;
    {
        TCPServer<Outer, ThreadingMixIn> server{any_port};
        server.daemon_threads = true;
        ServingThread serving{server};
        control = connect(server.server_address());
        data = Address{"127.0.0.1", static_cast<std::uint16_t>(std::stoi(control.recv(10)))};
        control.sendall(outer_goes_first ? "wait\n" : "now\n");
        if (!outer_goes_first) {
            Socket client = connect(data);
            client.sendall("data\n");
            CHECK(read_to_end(client) == "data\n");
            CHECK(read_to_end(control) == "done\n");
        }
    }  // the destructor ends, although the thread of the handler had a server
    if (!outer_goes_first) return;
    CHECK(control.recv(100) == "gone\n");
    Socket client = connect(data);
    client.sendall("data\n");
    CHECK(read_to_end(client) == "data\n");
    CHECK(read_to_end(control) == "done\n");
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
