// SPDX-License-Identifier: MIT
// The test kit for users: handlers that run without a port.
#include "socketserver/testing.hpp"

#include <map>
#include <stdexcept>

#include "socketserver/socketserver.hpp"
#include "support/catch.hpp"

namespace ss = socketserver;
using ss::testing::run_handler;

namespace {

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

class DatagramEchoHandler : public ss::DatagramRequestHandler {
    void handle() override { wfile().write(rfile().read()); }
};

}  // namespace

TEST_CASE("a stream handler gives its output for its input") {
    CHECK(run_handler<EchoHandler>("one\ntwo\nno end") == "one\ntwo\nno end");
    CHECK(run_handler<EchoHandler>("").empty());
}

TEST_CASE("input and output beyond what the kernel buffers do not deadlock") {
    std::string input;
    while (input.size() < 8'000'000) input += "a line of some length that goes there and back\n";
    CHECK(run_handler<EchoHandler>(input) == input);

    class Loud : public ss::BaseRequestHandler<> {
        void handle() override { request().sendall(std::string(8'000'000, 'x')); }
    };
    CHECK(run_handler<Loud>(input).size() == 8'000'000);  // which never reads
}

TEST_CASE("a handler that ends before it has read everything") {
    class FirstLine : public ss::StreamRequestHandler {
        void handle() override { wfile().write(rfile().readline()); }
    };
    CHECK(run_handler<FirstLine>("first\n" + std::string(4'000'000, 'x')) == "first\n");
}

TEST_CASE("what is held back is part of the output") {
    class Corked : public ss::StreamRequestHandler {
        void setup() override {
            wbufsize = 4096;
            StreamRequestHandler::setup();
        }
        void handle() override { wfile().print("{}", 42); }
    };
    CHECK(run_handler<Corked>("") == "42");
}

TEST_CASE("what a handler throws passes to the caller") {
    class Throws : public ss::StreamRequestHandler {
        void handle() override {
            wfile().write("begun\n");
            throw std::domain_error(std::string{rfile().readline()});
        }
    };
    CHECK_THROWS_AS(run_handler<Throws>("as told\nand more"), std::domain_error);

    const auto factory = []() -> EchoHandler { throw std::out_of_range("no handler"); };
    CHECK_THROWS_AS(run_handler<EchoHandler>("line\n", factory), std::out_of_range);
}

TEST_CASE("a handler that gives its connection away does not hold the test up") {
    class GivesAway : public ss::StreamRequestHandler {
      public:
        explicit GivesAway(ss::Socket& to) : to_{to} {}

      private:
        void handle() override {
            wfile().write("going\n");
            to_ = std::move(request());
        }
        ss::Socket& to_;
    };
    ss::Socket kept;
    CHECK(run_handler<GivesAway>("", [&] { return GivesAway{kept}; }) == "going\n");
    CHECK(kept.is_open());
}

TEST_CASE("a factory, a client's address and a server reach the handler") {
    class Asks : public ss::StreamRequestHandler {
      public:
        explicit Asks(std::string name) : name_{std::move(name)} {}

      private:
        void handle() override {
            wfile().print("{} for {} on {}", name_, client_address(),
                          server().server_address().host());
        }
        std::string name_;
    };
    const ss::TCPServer<EchoHandler> server{{"127.0.0.1", 0}};
    CHECK(run_handler<Asks>("", [] { return Asks{"Ada"}; },
                            {.client_address = {"192.0.2.7", 80}, .server = &server}) ==
          "Ada for 192.0.2.7:80 on 127.0.0.1");
    CHECK_THROWS_AS(run_handler<Asks>("", [] { return Asks{"Ada"}; }), std::logic_error);
}

TEST_CASE("options without a factory") {
    class WhoAmI : public ss::StreamRequestHandler {
        void handle() override { wfile().print("{}", client_address()); }
    };
    CHECK(run_handler<WhoAmI>("", {.client_address = "@me"}) == "@me");
    CHECK(run_handler<WhoAmI>("") == "127.0.0.1:50000");
}

TEST_CASE("a datagram handler gives its reply") {
    CHECK(run_handler<DatagramEchoHandler>("ping") == "ping");
    const std::string large(65507, 'x');  // the longest that UDP carries
    CHECK(run_handler<DatagramEchoHandler>(large) == large);
    CHECK(run_handler<DatagramEchoHandler>("ping", {.client_address = {"::1", 9}}) == "ping");
}

TEST_CASE("no reply, an empty reply and too many replies are told apart") {
    class Sends : public ss::BaseRequestHandler<ss::Datagram> {
        void handle() override {
            const auto count = std::stoi(request().data());
            for (int i = 0; i < count; ++i) request().socket().sendto("", client_address());
        }
    };
    CHECK(run_handler<Sends>("0") == std::nullopt);
    CHECK(run_handler<Sends>("1") == "");
    CHECK_THROWS_AS(run_handler<Sends>("100000"), std::system_error);
    CHECK_THROWS_AS(run_handler<Sends>("no number"), std::invalid_argument);
}
