// SPDX-License-Identifier: MIT
#include "server/unix_path.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "socketserver/address.hpp"
#include "socketserver/socket.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using detail::UnixPath;

namespace {

bool exists(const std::string& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0;
}

/// What a server leaves that ended without cleaning up.
void leave_stale_socket(const std::string& path, SocketType type) {
    Socket socket{Address{path}, type};
    socket.bind(path);
    if (type == SocketType::stream) socket.listen(1);
}

}  // namespace

TEST_CASE("a socket that nobody listens on is removed") {
    const TemporaryFolder folder;
    const std::string path = folder / "s";
    leave_stale_socket(path, SocketType::stream);
    REQUIRE(exists(path));
    UnixPath::clear_stale(path, SOCK_STREAM);
    CHECK_FALSE(exists(path));

    leave_stale_socket(path, SocketType::datagram);
    UnixPath::clear_stale(path, SOCK_DGRAM);
    CHECK_FALSE(exists(path));
}

TEST_CASE("a living server's socket is not removed") {
    const TemporaryFolder folder;
    const std::string path = folder / "s";
    SECTION("a stream server, with room and with a full queue") {
        Socket listening{Address{path}, SocketType::stream};
        listening.bind(path);
        listening.listen(0);
        std::vector<Socket> clients;
        const auto connect = [&] {
            clients.push_back(create_connection(path, SocketType::stream, std::chrono::seconds{0}));
        };
        UnixPath::clear_stale(path, SOCK_STREAM);
        CHECK(exists(path));
        while (error_of(connect) == 0) {
        }
        UnixPath::clear_stale(path, SOCK_STREAM);
        CHECK(exists(path));
        UnixPath::clear_stale(path, SOCK_DGRAM);
        CHECK(exists(path));
    }
    SECTION("a datagram server") {
        Socket bound{Address{path}, SocketType::datagram};
        bound.bind(path);
        UnixPath::clear_stale(path, SOCK_DGRAM);
        CHECK(exists(path));
        UnixPath::clear_stale(path, SOCK_STREAM);
        CHECK(exists(path));
    }
}

TEST_CASE("what is no socket is not removed") {
    const TemporaryFolder folder;
    const std::string path = folder / "s";
    SECTION("a file") { std::ofstream{path} << "content"; }
    SECTION("a folder") { std::filesystem::create_directory(path); }
    SECTION("a pipe") { REQUIRE(::mkfifo(path.c_str(), 0600) == 0); }
    SECTION("a link, even to a stale socket") {
        leave_stale_socket(folder / "target", SocketType::stream);
        std::filesystem::create_symlink(folder / "target", path);
    }
    SECTION("a link to nothing") { std::filesystem::create_symlink(folder / "nothing", path); }
    UnixPath::clear_stale(path, SOCK_STREAM);
    CHECK(exists(path));
    UnixPath::clear_stale(path, SOCK_DGRAM);
    CHECK(exists(path));
}

TEST_CASE("where nothing is, and where no file can be, nothing is done") {
    const TemporaryFolder folder;
    UnixPath::clear_stale(folder / "nothing", SOCK_STREAM);
    UnixPath::clear_stale(folder / "no folder/s", SOCK_STREAM);
    UnixPath::clear_stale("@socketserver-test", SOCK_STREAM);
    UnixPath::clear_stale({"127.0.0.1", 80}, SOCK_STREAM);
    CHECK_FALSE(exists(folder / "nothing"));
}

TEST_CASE("a path knows whether a socket is bound to it, of whatever type") {
    const TemporaryFolder folder;
    const std::string name = folder / "s";
    const int type = GENERATE(SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET);
    UnixPath path;
    CHECK_FALSE(path.is_open_elsewhere());  // owns nothing yet
    Socket bound{::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)};
    bound.bind(Address{name});
    if (type != SOCK_DGRAM) bound.listen(1);
    path.own(Address{name}, type);
    CHECK(path.is_open_elsewhere());
    bound.close();
    CHECK_FALSE(path.is_open_elsewhere());
}

TEST_CASE("a path removes its own file, and no other") {
    const TemporaryFolder folder;
    const std::string name = folder / "s";
    UnixPath path;
    path.remove();  // owns nothing yet

    leave_stale_socket(name, SocketType::stream);
    path.own(name, SOCK_STREAM);
    SECTION("its own, once") {
        path.remove();
        CHECK_FALSE(exists(name));
        std::ofstream{name} << "another's";
        path.remove();
        CHECK(exists(name));
    }
    SECTION("not the file that took its place") {
        std::filesystem::rename(name, folder / "moved");  // so that its inode is not used again
        leave_stale_socket(name, SocketType::stream);
        path.remove();
        CHECK(exists(name));
        CHECK(exists(folder / "moved"));
    }
    SECTION("not what it disowned") {
        path.disown();
        path.remove();
        CHECK(exists(name));
    }
    SECTION("not what is gone") {
        std::filesystem::remove(name);
        path.remove();
        CHECK_FALSE(exists(name));
    }
}
