// SPDX-License-Identifier: MIT
// Clients that nobody here wrote: Python's socket and logging, nc, socat, curl. A tool that is not
// installed is passed over, with a notice.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::ContainsSubstring;

struct Output {
    std::string text;
    int status = -1;
};

/// Runs a shell command for at most 20 seconds.
Output run(const std::string& command) {
    Output output;
    std::FILE* pipe = ::popen(("timeout 20 sh -c '" + command + "' 2>&1").c_str(), "r");
    if (pipe == nullptr) return output;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) {
        output.text += static_cast<char>(c);
    }
    output.status = ::pclose(pipe);
    return output;
}

bool has(const std::string& tool) {
    if (run("command -v " + tool).status == 0) return true;
    std::printf("passed over: %s is not installed\n", tool.c_str());
    return false;
}

/// Runs tests/interop/<script> with the address of a server.
Output run_python(const std::string& script, const std::string& arguments) {
    const auto folder = std::filesystem::path{SOCKETSERVER_TEST_SCRIPTS};
    return run("python3 " + (folder / script).string() + " " + arguments);
}

std::string port_of(const ServerBase& server) {
    return std::to_string(server.server_address().port());
}

template <class Server>
void check_echo(const std::string& kind, const Address& address) {
    const TimeLimit limit;
    if (!has("python3")) return;
    Server server{address};
    ServingThread serving{server};
    const std::string where = address.is_unix() ? address.path() : "127.0.0.1 " + port_of(server);
    const Output output = run_python("echo_client.py", kind + " " + where);
    CHECK(output.text == "ok\n");
    CHECK(output.status == 0);
}

/// What log receivers have got, from several threads.
class Received {
  public:
    void add(std::string text) {
        const std::lock_guard lock{mutex_};
        texts_.push_back(std::move(text));
    }
    std::string all() const {
        const std::lock_guard lock{mutex_};
        std::string joined;
        for (const std::string& text : texts_) joined += text;
        return joined;
    }
    std::size_t count() const {
        const std::lock_guard lock{mutex_};
        return texts_.size();
    }

  private:
    mutable std::mutex mutex_;
    std::vector<std::string> texts_;
};

/// logging.handlers.SocketHandler sends the length, four bytes, then a pickled record.
class PickleReceiver : public StreamRequestHandler {
  public:
    explicit PickleReceiver(Received& received) : received_{received} {}

  private:
    void handle() override {
        for (std::string head = rfile().read(4); head.size() == 4; head = rfile().read(4)) {
            std::size_t size = 0;
            for (const char byte : head) size = size << 8U | static_cast<unsigned char>(byte);
            received_.add(rfile().read(size));
        }
    }
    Received& received_;
};

class DatagramReceiver : public DatagramRequestHandler {
  public:
    explicit DatagramReceiver(Received& received) : received_{received} {}

  private:
    void handle() override { received_.add(request().data()); }
    Received& received_;
};

}  // namespace

TEST_CASE("Python's socket echoes over every transport") {
    const std::string path = "/tmp/" + own_name("interop");
    SECTION("TCP, synchronous") { check_echo<TCPServer<EchoLines>>("tcp", any_port); }
    SECTION("TCP, threading") { check_echo<TCPServer<EchoLines, ThreadingMixIn>>("tcp", any_port); }
    SECTION("TCP, forking") { check_echo<TCPServer<EchoLines, ForkingMixIn>>("tcp", any_port); }
    SECTION("UDP") { check_echo<UDPServer<DatagramEcho>>("udp", any_port); }
    SECTION("Unix stream") {
        check_echo<UnixStreamServer<EchoLines, ThreadingMixIn>>("unix-stream", path);
    }
    SECTION("Unix datagram") {
        check_echo<UnixDatagramServer<DatagramEcho>>("unix-datagram", path);
    }
}

TEST_CASE("Python's logging handlers reach a log receiver") {
    const TimeLimit limit;
    if (!has("python3")) return;
    Received received;
    std::size_t expected = 3;
    SECTION("SocketHandler") {
        TCPServer<PickleReceiver, ThreadingMixIn> server{
            any_port, {}, [&] { return PickleReceiver{received}; }};
        ServingThread serving{server};
        CHECK(run_python("log_client.py", "socket 127.0.0.1 " + port_of(server)).text == "ok\n");
        CHECK(eventually([&] { return received.count() >= expected; }));
    }
    SECTION("DatagramHandler") {
        UDPServer<DatagramReceiver> server{
            any_port, {}, [&] { return DatagramReceiver{received}; }};
        ServingThread serving{server};
        CHECK(run_python("log_client.py", "datagram 127.0.0.1 " + port_of(server)).text == "ok\n");
        CHECK(eventually([&] { return received.count() >= expected; }));
    }
    SECTION("SysLogHandler") {
        UDPServer<DatagramReceiver> server{
            any_port, {}, [&] { return DatagramReceiver{received}; }};
        ServingThread serving{server};
        CHECK(run_python("log_client.py", "syslog 127.0.0.1 " + port_of(server)).text == "ok\n");
        CHECK(eventually([&] { return received.count() >= expected; }));
    }
    CHECK(received.count() == expected);
    for (const char* text : {"first message", "second message", "third message"}) {
        CHECK_THAT(received.all(), ContainsSubstring(text));
    }
}

TEST_CASE("command-line clients") {
    const TimeLimit limit;
    TCPServer<EchoLines, ThreadingMixIn> server{any_port};
    ServingThread serving{server};
    const std::string port = port_of(server);
    SECTION("nc") {
        if (!has("nc")) return;
        CHECK(run("printf \"one\\ntwo\\n\" | nc -N 127.0.0.1 " + port).text == "one\ntwo\n");
    }
    SECTION("socat") {
        if (!has("socat")) return;
        CHECK(run("printf \"one\\ntwo\\n\" | socat -t 10 - TCP:127.0.0.1:" + port).text ==
              "one\ntwo\n");
    }
    SECTION("curl") {
        if (!has("curl")) return;
        // curl ends when the server does, so let it be a server that says good-bye.
        TCPServer<StreamEcho, ThreadingMixIn> once{any_port};
        ServingThread serving_once{once};
        CHECK(run("printf \"one\\n\" | curl -s --max-time 10 telnet://127.0.0.1:" + port_of(once))
                  .text == "one\n");
    }
}

TEST_CASE("socat over Unix sockets and UDP") {
    const TimeLimit limit;
    if (!has("socat")) return;
    SECTION("Unix stream") {
        const std::string path = "/tmp/" + own_name("socat");
        UnixStreamServer<EchoLines> server{path};
        ServingThread serving{server};
        CHECK(run("printf \"one\\n\" | socat -t 10 - UNIX-CONNECT:" + path).text == "one\n");
    }
    SECTION("UDP") {
        UDPServer<DatagramEcho> server{any_port};
        ServingThread serving{server};
        CHECK(run("printf \"one\\n\" | socat -t 1 - UDP:127.0.0.1:" + port_of(server)).text ==
              "one\n");
    }
}
