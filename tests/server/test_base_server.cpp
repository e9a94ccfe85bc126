// SPDX-License-Identifier: MIT
// The hooks of BaseServer: which are called, and in which order.
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/close_on_fork.hpp"
#include "support/catch.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Clock = std::chrono::steady_clock;
using Names = std::vector<std::string>;

/// The hooks that were called, in order. Of the serving thread, or read when it has ended.
class Journal {
  public:
    void add(const char* name) {
        const std::lock_guard lock{mutex_};
        names_.emplace_back(name);
    }
    Names names() const {
        const std::lock_guard lock{mutex_};
        return names_;
    }

  private:
    mutable std::mutex mutex_;
    Names names_;
};

class JournalHandler : public StreamRequestHandler {
  public:
    explicit JournalHandler(Journal& journal) : journal_{journal} {}

  private:
    void setup() override {
        journal_.add("setup");
        StreamRequestHandler::setup();
    }
    void handle() override {
        journal_.add("handle");
        wfile().write(rfile().readline());
    }
    void finish() override {
        journal_.add("finish");
        StreamRequestHandler::finish();
    }
    Journal& journal_;
};

class JournalServer : public TCPServer<JournalHandler> {
  public:
    explicit JournalServer(const ServerOptions& options = {})
        : TCPServer{any_port, deferred(options), [this] { return JournalHandler{journal}; }} {
        server_bind();
        server_activate();
    }

    Journal journal;
    bool verifies = true;
    int timeouts = 0;
    int service_count = 0;

  protected:
    void server_bind() override {
        journal.add("server_bind");
        TCPServer::server_bind();
    }
    void server_activate() override {
        journal.add("server_activate");
        TCPServer::server_activate();
    }
    std::optional<std::pair<Socket, Address>> get_request() override {
        auto request = TCPServer::get_request();
        if (request) journal.add("get_request");  // it is asked again when nobody is there
        return request;
    }
    bool verify_request(const Socket& request, const Address& client_address) override {
        journal.add("verify_request");
        sees_request = request.is_open() && client_address.host() == "127.0.0.1";
        return verifies;
    }
    void process_request(Socket&& request, const Address& client_address) override {
        journal.add("process_request");
        TCPServer::process_request(std::move(request), client_address);
    }
    void prepare_request(Socket&, Address&) override { journal.add("prepare_request"); }
    void finish_request(Socket& request, const Address& client_address) override {
        journal.add("finish_request");
        TCPServer::finish_request(request, client_address);
    }
    void shutdown_request(Socket& request) override {
        journal.add("shutdown_request");
        TCPServer::shutdown_request(request);
    }
    void close_request(Socket& request) override {
        journal.add("close_request");
        TCPServer::close_request(request);
    }
    void service_actions() override { ++service_count; }
    void handle_timeout() override { ++timeouts; }

  public:
    bool sees_request = false;

  private:
    static ServerOptions deferred(ServerOptions options) {
        options.bind_and_activate = false;
        return options;
    }
};

const Names served{"server_bind",     "server_activate", "get_request",      "verify_request",
                   "process_request", "prepare_request", "finish_request",   "setup",
                   "handle",          "finish",          "shutdown_request", "close_request"};

}  // namespace

TEST_CASE("the hooks are called in Python's order") {
    const TimeLimit limit;
    JournalServer server;
    SECTION("by serve_forever()") {
        ServingThread serving{server};
        CHECK(ask(server.server_address(), "x\n") == "x\n");
        serving.stop();
        CHECK(server.service_count >= 1);
    }
    SECTION("by handle_request(), which calls no service_actions()") {
        Socket client = connect(server.server_address());
        client.sendall("x\n");
        server.handle_request();
        CHECK(read_to_end(client) == "x\n");
        CHECK(server.service_count == 0);
    }
    CHECK(server.journal.names() == served);
    CHECK(server.sees_request);
    CHECK(server.timeouts == 0);
}

TEST_CASE("a request that is not verified is shut down once, and nothing else") {
    const TimeLimit limit;
    JournalServer server;
    server.verifies = false;
    Socket client = connect(server.server_address());
    server.handle_request();
    CHECK(read_to_end(client) == "");
    CHECK(server.journal.names() == Names{"server_bind", "server_activate", "get_request",
                                          "verify_request", "shutdown_request", "close_request"});
}

TEST_CASE("deferred bind: the address is as given until the server binds") {
    class Server : public TCPServer<StreamEcho> {
      public:
        Server() : TCPServer{any_port, {.bind_and_activate = false}} {}
        void begin() {
            server_bind();
            server_activate();
        }
    };
    const TimeLimit limit;
    Server server;
    CHECK(server.server_address() == any_port);
    CHECK(server.fileno() != -1);
    server.begin();
    CHECK(server.server_address().port() != 0);
    ServingThread serving{server};
    CHECK(ask(server.server_address(), "x\n") == "x\n");
}

TEST_CASE("a factory makes each handler") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
      public:
        explicit Handler(std::string greeting) : greeting_{std::move(greeting)} {}

      private:
        void handle() override { wfile().write(greeting_); }
        std::string greeting_;
    };
    int made = 0;
    TCPServer<Handler> server{any_port, {}, [&] { return Handler{std::to_string(++made)}; }};
    ServingThread serving{server};
    for (const char* expected : {"1", "2", "3"}) {
        Socket client = connect(server.server_address());
        CHECK(read_to_end(client) == expected);
    }
}

TEST_CASE("prepare_request() may replace the client's address, and read ahead") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void handle() override { wfile().print("{}", client_address()); }
    };
    class Server : public TCPServer<Handler> {
      public:
        Server() : TCPServer{any_port} {}

      protected:
        void prepare_request(Socket& request, Address& client_address) override {
            client_address = Address{request.recv(7), 80};
        }
    };
    Server server;
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    client.sendall("9.8.7.6");
    CHECK(read_to_end(client) == "9.8.7.6:80");
}

TEST_CASE("one client that is slow to prepare does not stop a threading server") {
    const TimeLimit limit;
    class Server : public TCPServer<StreamEcho, ThreadingMixIn> {
      public:
        Server() : TCPServer{any_port} {}
        ~Server() override { server_close(); }

      protected:
        void prepare_request(Socket& request, Address&) override { request.recv(1); }
    };
    Server server;
    ServingThread serving{server};
    Socket silent = connect(server.server_address());
    CHECK(ask(server.server_address(), " x\n").substr(0, 2) == "x\n");
    CHECK(ask(silent, " y\n").substr(0, 2) == "y\n");
}

TEST_CASE("process_request() may serve a request elsewhere") {
    const TimeLimit limit;
    class Server : public TCPServer<StreamEcho> {
      public:
        Server() : TCPServer{any_port} {}
        ~Server() override { join(); }
        void join() {
            if (thread_.joinable()) thread_.join();
        }

      protected:
        void process_request(Socket&& request, const Address& client_address) override {
            thread_ = std::thread{[this, mine = std::move(request), client_address]() mutable {
                serve_request(mine, client_address);
            }};
        }

      private:
        std::thread thread_;
    };
    Server server;
    Socket client = connect(server.server_address());
    server.handle_request();
    CHECK(ask(client, "x\n") == "x\n");
    server.join();
}

TEST_CASE("a handler knows its request, its client and its server") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void handle() override {
            wfile().print("{} {} {}", client_address(), request().fileno() == connection().fileno(),
                          server<TCPServer<Handler>>().server_address());
        }
    };
    TCPServer<Handler> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(read_to_end(client) ==
          client.getsockname().to_string() + " true " + server.server_address().to_string());
}

TEST_CASE("many more bytes than any buffer holds pass a request both ways") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void handle() override { wfile().write(rfile().read()); }
    };
    TCPServer<Handler> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    std::string data(20'000'000, '\0');
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31 % 251);
    client.sendall(data);
    client.shutdown(ShutdownHow::write);
    CHECK((read_to_end(client) == data));
}

TEST_CASE("the output is ended before closing, unless closing alone says the same") {
    const TimeLimit limit;
    class Handler : public StreamRequestHandler {
        void handle() override {
            // "bye": the server ends the connection; "end": it waits for the client to do so.
            if (rfile().readline() == "end\n") rfile().read();
            wfile().write("over");
        }
    };
    std::atomic<int> shutdowns{0};
    const Scripted<&Calls::shutdown> shutdown{[&](int descriptor, int how) {
        ++shutdowns;
        return sys::kernel.shutdown(descriptor, how);
    }};
    TCPServer<Handler> server{any_port};
    ServingThread serving{server};
    const auto end = [&](const char* line) {
        Socket client = connect(server.server_address());
        client.sendall(line);
        if (std::string_view{line} == "end\n") ::shutdown(client.fileno(), SHUT_WR);
        // Its end comes after a shutdown, if there is one.
        CHECK(read_to_end(client) == "over");
    };
    const bool has_forked = detail::CloseOnFork::may_be_inherited();
    end("bye\n");
    const int by_server = shutdowns.exchange(0);
    end("end\n");
    const int by_client = shutdowns.exchange(0);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    ::waitpid(child, nullptr, 0);
    end("end\n");
    serving.stop();
    CHECK(by_server >= 1);
    if (!has_forked) CHECK(by_client == 0);
    // Now another process could have the connection.
    CHECK(shutdowns >= 1);
}
