// SPDX-License-Identifier: MIT
#include <array>
#include <barrier>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#include <sys/stat.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;
using Stream = UnixStreamServer<StreamEcho>;
using Datagrams = UnixDatagramServer<DatagramEcho>;

/// A folder that is removed with everything in it.
class Folder {
  public:
    Folder() {
        std::string name = "/tmp/socketserver-test-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
        path_ = name;
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { fs::remove_all(path_); }
    std::string operator/(const char* name) const { return (path_ / name).string(); }

  private:
    fs::path path_;
};

template <class Server>
constexpr SocketType type_of_v =
    std::is_same_v<Server, Stream> ? SocketType::stream : SocketType::datagram;

unsigned mode_of(const std::string& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777U : 0U;
}

/// A socket file on which nobody listens, as a server that was killed leaves it.
void leave_stale(const std::string& path, SocketType type) {
    Socket socket{Address{path}, type};
    socket.bind(Address{path});
}

template <class Server>
void check_in_use(const std::string& path) {
    try {
        const Server server{path};
        FAIL("the path was taken from its owner");
    } catch (const std::system_error& error) {
        CHECK(error.code() == std::errc::address_in_use);
        CHECK_THAT(error.what(), ContainsSubstring("bind " + path));
    }
}

}  // namespace

TEMPLATE_TEST_CASE("a Unix server on a path", "", Stream, Datagrams) {
    const TimeLimit limit;
    const Folder folder;
    const std::string path = folder / "socket";
    {
        TestType server{path};
        CHECK(server.server_address() == Address{path});
        CHECK(fs::is_socket(path));
        ServingThread serving{server};
        CHECK(ask(path, "x\n", type_of_v<TestType>) == "x\n");
    }
    CHECK_FALSE(fs::exists(fs::symlink_status(path)));
}

TEMPLATE_TEST_CASE("a Unix server on an abstract name", "", Stream, Datagrams) {
    const TimeLimit limit;
    const std::string name = "@" + own_name("abstract");
    TestType server{name};
    CHECK(server.server_address() == Address{name});
    ServingThread serving{server};
    CHECK(ask(name, "x\n", type_of_v<TestType>) == "x\n");
    check_in_use<TestType>(name);
}

TEMPLATE_TEST_CASE("unix_mode is in force, whatever the umask", "", Stream, Datagrams) {
    const Folder folder;
    const std::string path = folder / "socket";
    const unsigned mode = GENERATE(0600U, 0660U, 0777U);
    const TestType server{path, {.unix_mode = mode}};
    // The umask may take from it and never gives.
    const mode_t mask = ::umask(0);
    ::umask(mask);
    CHECK(mode_of(path) == (mode & ~mask));
}

TEMPLATE_TEST_CASE("a stale socket is replaced", "", Stream, Datagrams) {
    const TimeLimit limit;
    const Folder folder;
    const std::string path = folder / "socket";
    leave_stale(path, type_of_v<TestType>);
    REQUIRE(fs::is_socket(path));
    TestType server{path};
    ServingThread serving{server};
    CHECK(ask(path, "x\n", type_of_v<TestType>) == "x\n");
}

TEMPLATE_TEST_CASE("the socket of a living server is not taken", "", Stream, Datagrams) {
    const TimeLimit limit;
    const Folder folder;
    const std::string path = folder / "socket";
    TestType server{path};
    ServingThread serving{server};
    check_in_use<TestType>(path);
    CHECK(ask(path, "x\n", type_of_v<TestType>) == "x\n");
}

TEST_CASE("a living server whose queue is full is not taken for a dead one") {
    const TimeLimit limit;
    const Folder folder;
    const std::string path = folder / "socket";
    const Stream server{path, {.request_queue_size = 0}};
    const Socket waiting = connect(path);  // fills the queue
    check_in_use<Stream>(path);
}

TEMPLATE_TEST_CASE("a file is never removed", "", Stream, Datagrams) {
    const Folder folder;
    SECTION("a regular one") {
        const std::string path = folder / "file";
        std::ofstream{path} << "precious";
        check_in_use<TestType>(path);
        CHECK(fs::file_size(path) == 8);
    }
    SECTION("a folder") {
        const std::string path = folder / "folder";
        fs::create_directory(path);
        check_in_use<TestType>(path);
        CHECK(fs::is_directory(path));
    }
    SECTION("a symbolic link to a stale socket") {
        const std::string path = folder / "link";
        leave_stale(folder / "stale", type_of_v<TestType>);
        fs::create_symlink(folder / "stale", path);
        check_in_use<TestType>(path);
        CHECK(fs::is_symlink(path));
        CHECK(fs::is_socket(folder / "stale"));
    }
}

TEMPLATE_TEST_CASE("closing removes only the server's own file", "", Stream, Datagrams) {
    const Folder folder;
    const std::string path = folder / "socket";
    TestType server{path};
    fs::remove(path);
    SECTION("not a file of somebody else") {
        std::ofstream{path} << "precious";
        server.server_close();
        CHECK(fs::exists(path));
    }
    SECTION("not the socket of another server") {
        const TestType other{path};
        server.server_close();
        CHECK(fs::is_socket(path));
    }
    SECTION("nor is it an error that nothing is there") {
        server.server_close();
        CHECK_FALSE(fs::exists(path));
    }
}

TEST_CASE("a forked child does not remove the path of its parent") {
    const TimeLimit limit;
    const Folder folder;
    const std::string path = folder / "socket";
    UnixStreamServer<StreamEcho, ForkingMixIn> server{path};
    ServingThread serving{server};
    for (int i = 0; i < 3; ++i) CHECK(ask(path, "x\n") == "x\n");
    CHECK(fs::is_socket(path));
}

TEST_CASE("what is wrong with a path is said") {
    const Folder folder;
    SECTION("no such folder") {
        CHECK_THROWS_WITH(Stream(folder / "none/socket"),
                          ContainsSubstring("the folder does not exist"));
    }
    SECTION("too long") {
        CHECK_THROWS_WITH(Stream(folder / std::string(120, 'x').c_str()), ContainsSubstring("107"));
    }
    SECTION("not a path") {
        CHECK_THROWS_WITH(Stream(Address{"127.0.0.1", 0}), ContainsSubstring("takes a path"));
    }
}

TEST_CASE("adopting a Unix socket leaves its path alone") {
    const TimeLimit limit;
    const Folder folder;
    const std::string path = folder / "socket";
    {
        Socket socket{Address{path}, SocketType::stream};
        socket.bind(Address{path});
        Stream server{std::move(socket)};
        CHECK(server.server_address() == Address{path});
        ServingThread serving{server};
        CHECK(ask(path, "x\n") == "x\n");
    }
    CHECK(fs::is_socket(path));  // whoever bound it may still want it
}

TEST_CASE("constructors that fail leave no descriptor and no file") {
    const Folder folder;
    const std::string path = folder / "socket";
    std::ofstream{path} << "precious";
    const std::size_t before = open_descriptors();
    for (int i = 0; i < 100; ++i) CHECK_THROWS_AS(Stream(path), std::system_error);
    CHECK(open_descriptors() == before);
}

TEST_CASE("of two servers that start at once on a path that was left, one serves") {
    const TimeLimit limit;
    const Folder folder;
    const std::string path = folder / "s";
    for (int round = 0; round < 150; ++round) {
        leave_stale(path, SocketType::stream);
        std::barrier together{2};
        std::array<std::unique_ptr<Stream>, 2> servers;
        std::vector<std::jthread> starting;
        for (auto& server : servers) {
            starting.emplace_back([&] {
                together.arrive_and_wait();
                try {
                    server = std::make_unique<Stream>(path);
                } catch (const std::system_error&) {  // the other one was faster
                }
            });
        }
        starting.clear();
        REQUIRE((servers[0] != nullptr) != (servers[1] != nullptr));
        servers = {};
        REQUIRE_FALSE(fs::exists(path));
    }
}

namespace {

/// Does something when it is bound and does not listen yet.
class SlowToListen : public Stream {
  public:
    SlowToListen(const std::string& path, const std::function<void()>& meanwhile)
        : Stream{path, {.bind_and_activate = false}} {
        server_bind();
        meanwhile();
        server_activate();
    }
};

}  // namespace

TEST_CASE("a server that is bound and does not listen yet is not taken for dead") {
    const TimeLimit limit;
    const Folder folder;
    const std::string path = folder / "s";
    SlowToListen server{path, [&] { check_in_use<Stream>(path); }};
    ServingThread serving{server};
    CHECK(ask(Address{path}, "hello\n") == "hello\n");
    serving.stop();
    server.server_close();
    CHECK_FALSE(fs::exists(path));
}

TEST_CASE("a relative path is removed where it was made, wherever the program is by then") {
    const Folder folder;
    const Folder elsewhere;
    const fs::path before = fs::current_path();
    fs::current_path(folder / "");
    {
        const Stream server{"s"};
        CHECK(fs::exists(folder / "s"));
        fs::current_path(elsewhere / "");
        std::ofstream{"s"} << "another's";
    }
    CHECK_FALSE(fs::exists(folder / "s"));
    CHECK(fs::exists(elsewhere / "s"));
    fs::current_path(before);
}
