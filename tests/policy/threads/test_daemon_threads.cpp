// SPDX-License-Identifier: MIT
// Requests of ThreadingMixIn that may outlive their server.
#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/counts.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

using namespace socketserver;
using namespace socketserver::tests;

namespace {

Socket ready_client(const Address& address) {
    Socket client = connect(address);
    if (client.recv(6) != "ready\n") throw std::runtime_error("not served");
    return client;
}

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
    const std::size_t threads = thread_count();
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
    CHECK(eventually([&] { return thread_count() == threads; }));
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
    const std::size_t threads = thread_count();
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
    CHECK(eventually([&] { return thread_count() == threads; }));
}

TEST_CASE("threading: daemons ask a server while it goes, many times") {
    const TimeLimit limit;
    const std::size_t threads = thread_count();
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
    CHECK(eventually([&] { return thread_count() == threads; }));
}

TEST_CASE("threading: a daemon's handler serves a server of its own") {
    const TimeLimit limit;
    const std::size_t threads = thread_count();
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
    if (outer_goes_first) {
        CHECK(control.recv(100) == "gone\n");
        Socket client = connect(data);
        client.sendall("data\n");
        CHECK(read_to_end(client) == "data\n");
        CHECK(read_to_end(control) == "done\n");
    }
    CHECK(eventually([&] { return thread_count() == threads; }));
}
