// SPDX-License-Identifier: MIT
// A program that is compiled without RTTI, with a library that has it: the classes of its
// exceptions say nothing about their bases.
#ifdef __cpp_rtti
#    error "compile this with -fno-rtti"
#endif

#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>

#include "support/captured_stderr.hpp"
#include "support/catch.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::ContainsSubstring;

class OwnError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

class OwnServer;

class OwnHandler : public StreamRequestHandler {
    void handle() override;
};

class OwnServer : public TCPServer<OwnHandler> {
  public:
    using TCPServer<OwnHandler>::TCPServer;
    std::string answer = "of its own server\n";
};

void OwnHandler::handle() {
    const std::string line{rfile().readline()};
    if (line == "throw\n") throw OwnError{"thrown without RTTI"};
    if (line == "nest\n") {
        try {
            throw OwnError{"the cause"};
        } catch (...) {
            std::throw_with_nested(OwnError{"the effect"});
        }
    }
    if (line == "stop\n") {
        try {
            throw Cancelled{"recv"};
        } catch (...) {
            std::throw_with_nested(OwnError{"stopped"});
        }
    }
    wfile().write(server<OwnServer>().answer);
}

std::string printed_for(const char* line) {
    CapturedStderr captured;
    OwnServer server{any_port};
    ServingThread serving{server};
    ask(server.server_address(), line);
    serving.stop();
    return captured.text();
}

}  // namespace

TEST_CASE("without RTTI a handler reaches the server as the class that it is") {
    const TimeLimit limit;
    OwnServer server{any_port};
    ServingThread serving{server};
    CHECK(ask(server.server_address(), "ask\n") == "of its own server\n");
}

TEST_CASE("without RTTI the exceptions of a handler are reported") {
    const TimeLimit limit;
    CHECK_THAT(printed_for("throw\n"), ContainsSubstring("OwnError: thrown without RTTI\n"));
    const std::string nested = printed_for("nest\n");
    CHECK_THAT(nested, ContainsSubstring("the effect\n  caused by "));
    CHECK_THAT(nested, ContainsSubstring("OwnError: the cause\n"));
    CHECK(printed_for("stop\n").empty());
}
