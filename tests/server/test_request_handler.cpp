// SPDX-License-Identifier: MIT
#include "socketserver/request_handler.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "socketserver/detail/server/handler_access.hpp"
#include "socketserver/errors.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::chrono_literals;

namespace {

using Steps = std::vector<std::string>;

const Address client{"192.0.2.1", 1234};

template <class Handler, class Request>
void run(Handler& handler, Request& request, const Address& address = client) {
    detail::HandlerAccess::run(handler, request, address, nullptr);
}

/// Writes down what is called, and throws where it is told.
class StepHandler : public BaseRequestHandler<> {
  public:
    explicit StepHandler(Steps& steps, std::string failing = {})
        : steps_{steps}, failing_{std::move(failing)} {}
    ~StepHandler() override { steps_.emplace_back("destroyed"); }

    bool failed_in_finish = false;

  private:
    void setup() override { step("setup"); }
    void handle() override { step("handle"); }
    void finish() override {
        failed_in_finish = handle_failed();
        step("finish");
    }
    void step(const std::string& name) {
        steps_.push_back(name);
        if (failing_.find(name) != std::string::npos) throw std::runtime_error{"in " + name};
    }

    Steps& steps_;
    std::string failing_;
};

/// Runs a function as handle() of a stream handler.
class StreamHandler : public StreamRequestHandler {
  public:
    explicit StreamHandler(std::function<void(StreamHandler&)> work) : work_{std::move(work)} {}
    using StreamRequestHandler::client_address;
    using StreamRequestHandler::connection;
    using StreamRequestHandler::disable_nagle_algorithm;
    using StreamRequestHandler::rbufsize;
    using StreamRequestHandler::request;
    using StreamRequestHandler::rfile;
    using StreamRequestHandler::server;
    using StreamRequestHandler::timeout;
    using StreamRequestHandler::wbufsize;
    using StreamRequestHandler::wfile;

  private:
    void handle() override { work_(*this); }
    std::function<void(StreamHandler&)> work_;
};

class DatagramHandler : public DatagramRequestHandler {
  public:
    explicit DatagramHandler(std::function<void(DatagramHandler&)> work) : work_{std::move(work)} {}
    using DatagramRequestHandler::request;
    using DatagramRequestHandler::rfile;
    using DatagramRequestHandler::wfile;

  private:
    void handle() override { work_(*this); }
    std::function<void(DatagramHandler&)> work_;
};

/// A server's and a client's socket for datagrams.
struct DatagramPair {
    DatagramPair() {
        const Address any{"127.0.0.1", 0};
        server = std::make_shared<Socket>(any, SocketType::datagram);
        server->bind(any);
        client = create_connection(server->getsockname(), SocketType::datagram, 0s);
    }
    /// What the client got: nothing, or one datagram.
    std::optional<std::string> reply() {
        try {
            return client.recv(100);
        } catch (const std::system_error& error) {
            if (error.code() != std::errc::resource_unavailable_try_again) throw;
            return {};
        }
    }
    std::shared_ptr<Socket> server;
    Socket client;
};

}  // namespace

TEST_CASE("setup, handle, finish") {
    auto pair = unix_pair();
    Steps steps;
    {
        StepHandler handler{steps};
        run(handler, pair.near);
        CHECK_FALSE(handler.failed_in_finish);
    }
    CHECK(steps == Steps{"setup", "handle", "finish", "destroyed"});
    CHECK(pair.near.is_open());  // the server's to close
}

TEST_CASE("finish is not called when setup throws") {
    auto pair = unix_pair();
    Steps steps;
    StepHandler handler{steps, "setup"};
    CHECK_THROWS_WITH(run(handler, pair.near), "in setup");
    CHECK(steps == Steps{"setup"});
}

TEST_CASE("finish is called when handle throws, and knows it") {
    auto pair = unix_pair();
    Steps steps;
    StepHandler handler{steps, "handle"};
    CHECK_THROWS_WITH(run(handler, pair.near), "in handle");
    CHECK(steps == Steps{"setup", "handle", "finish"});
    CHECK(handler.failed_in_finish);
}

TEST_CASE("what finish throws alone passes as it is") {
    auto pair = unix_pair();
    Steps steps;
    StepHandler handler{steps, "finish"};
    CHECK_THROWS_WITH(run(handler, pair.near), "in finish");
    CHECK_FALSE(handler.failed_in_finish);
}

TEST_CASE("when both throw neither is lost") {
    auto pair = unix_pair();
    Steps steps;
    StepHandler handler{steps, "handle finish"};
    try {
        run(handler, pair.near);
        FAIL("nothing was thrown");
    } catch (const FinishError& error) {
        CHECK_THAT(error.what(), Catch::Matchers::ContainsSubstring("in finish"));
        CHECK_THROWS_WITH(error.rethrow_nested(), "in handle");
    }
}

TEST_CASE("an exception that is none of the standard's passes too") {
    auto pair = unix_pair();
    StreamHandler handler{[](StreamHandler&) { throw 42; }};
    CHECK_THROWS_AS(run(handler, pair.near), int);
}

TEST_CASE("a handler knows its request and its client, and no server where there is none") {
    auto pair = unix_pair();
    bool same = false;
    Address seen;
    std::string text;
    StreamHandler handler{[&](StreamHandler& self) {
        same = &self.request() == &pair.near && &self.connection() == &pair.near;
        seen = self.client_address();
        text = text_of([&] { self.server(); });
    }};
    run(handler, pair.near);
    CHECK(same);
    CHECK(seen == client);
    CHECK_THAT(text, Catch::Matchers::ContainsSubstring("no server"));
}

TEST_CASE("a stream handler reads and writes as files") {
    auto pair = unix_pair();
    pair.far.sendall("one\ntwo\n");
    pair.far.shutdown(ShutdownHow::write);
    StreamHandler handler{[](StreamHandler& self) {
        for (std::string_view line : self.rfile()) self.wfile().print("got {}", line);
    }};
    run(handler, pair.near);
    pair.near.close();
    CHECK(receive_all(pair.far) == "got one\ngot two\n");
}

TEST_CASE("what is held back is flushed by finish, also after an exception") {
    auto pair = unix_pair();
    int sends = 0;
    const Scripted<&Calls::send> send{[&](auto... arguments) {
        ++sends;
        return sys::kernel.send(arguments...);
    }};
    const bool failing = GENERATE(false, true);
    const long size = GENERATE(-1L, 100L);
    StreamHandler handler{[&](StreamHandler& self) {
        self.wfile().write("held ");
        self.wfile().write("back");
        if (failing) throw std::runtime_error{"in handle"};
    }};
    handler.wbufsize = size;
    CHECK(text_of([&] { run(handler, pair.near); }) == (failing ? "in handle" : ""));
    CHECK(pair.far.recv(100) == "held back");
    CHECK(sends == 1);
}

TEST_CASE("the four members of a stream handler") {
    auto pair = tcp_pair();
    SECTION("timeout") {
        StreamHandler handler{[](StreamHandler& self) { self.rfile().readline(); }};
        handler.timeout = 10ms;
        CHECK_THROWS_AS(run(handler, pair.near), TimeoutError);
    }
    SECTION("a timeout of the socket's is kept if the handler has none") {
        pair.near.settimeout(10ms);
        StreamHandler handler{[](StreamHandler& self) { self.rfile().readline(); }};
        CHECK_THROWS_AS(run(handler, pair.near), TimeoutError);
    }
    SECTION("rbufsize 0 reads not one byte too many") {
        pair.far.sendall("line\nrest");
        std::string rest;
        StreamHandler handler{[&rest](StreamHandler& self) {
            self.rfile().readline();
            rest = self.connection().recv(100);
        }};
        handler.rbufsize = 0;
        run(handler, pair.near);
        CHECK(rest == "rest");
    }
    SECTION("disable_nagle_algorithm") {
        const bool on = GENERATE(false, true);
        StreamHandler handler{[](StreamHandler&) {}};
        handler.disable_nagle_algorithm = on;
        run(handler, pair.near);
        int value = 0;
        socklen_t size = sizeof value;
        REQUIRE(::getsockopt(pair.near.fileno(), IPPROTO_TCP, TCP_NODELAY, &value, &size) == 0);
        CHECK((value != 0) == on);
    }
}

TEST_CASE("finish forgives the client's going, and nothing else") {
    auto pair = unix_pair();
    StreamHandler handler{[](StreamHandler& self) { self.wfile().write("x"); }};
    handler.wbufsize = 100;
    SECTION("the client has gone") {
        pair.far.close();
        run(handler, pair.near);
        CHECK(pair.near.peer_gone());
    }
    SECTION("the machine has no memory") {
        const Scripted<&Calls::send> send{[](auto...) { return fail(ENOBUFS); }};
        CHECK(error_of([&] { run(handler, pair.near); }) == ENOBUFS);
    }
    SECTION("the client does not take it in time") {
        fill(pair.near);
        handler.timeout = 10ms;
        CHECK_THROWS_AS(run(handler, pair.near), TimeoutError);
    }
}

TEST_CASE("a datagram handler answers with one datagram") {
    DatagramPair pair;
    Datagram datagram{"one\ntwo", false, pair.server};
    std::string first;
    std::string rest;
    DatagramHandler handler{[&](DatagramHandler& self) {
        first = self.rfile().readline();
        rest = self.rfile().read();
        self.wfile().write("re");
        self.wfile().print("{}", "ply");
    }};
    run(handler, datagram, pair.client.getsockname());
    CHECK(first == "one\n");
    CHECK(rest == "two");
    CHECK(pair.reply() == "reply");
    CHECK_FALSE(pair.reply().has_value());
}

TEST_CASE("a datagram handler sends nothing where there is no answer") {
    DatagramPair pair;
    Datagram datagram{"request", false, pair.server};
    Address to = pair.client.getsockname();
    SECTION("nothing was written") {
        DatagramHandler handler{[](DatagramHandler&) {}};
        run(handler, datagram, to);
    }
    SECTION("handle threw") {
        DatagramHandler handler{[](DatagramHandler& self) {
            self.wfile().write("half");
            throw std::runtime_error{"in handle"};
        }};
        CHECK_THROWS_WITH(run(handler, datagram, to), "in handle");
    }
    SECTION("the sender has no address") {
        DatagramHandler handler{[](DatagramHandler& self) { self.wfile().write("reply"); }};
        run(handler, datagram, Address{});
    }
    CHECK_FALSE(pair.reply().has_value());
}

TEST_CASE("an answer that cannot be sent is an error") {
    DatagramPair pair;
    Datagram datagram{"request", false, pair.server};
    DatagramHandler handler{
        [](DatagramHandler& self) { self.wfile().write(std::string(70'000, 'x')); }};
    const auto answer = [&] { run(handler, datagram, pair.client.getsockname()); };
    CHECK(error_of(answer) == EMSGSIZE);
}
