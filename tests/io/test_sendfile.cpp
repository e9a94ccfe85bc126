// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/transfers.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::chrono_literals;

TEST_CASE("sendfile") {
    auto pair = tcp_pair();
    SECTION("large, beyond what the kernel takes at once") {
        const File file{pattern(20'000'000)};
        Receiver receiver{pair.far};
        CHECK(pair.near.sendfile(file.descriptor()) == file.content().size());
        pair.near.shutdown(ShutdownHow::write);
        CHECK((receiver.join() == file.content()));
    }
    SECTION("a part; the file's own position is left alone") {
        const File file{"0123456789"};
        CHECK(pair.near.sendfile(file.descriptor(), 3, 4) == 4);
        CHECK(pair.near.sendfile(file.descriptor(), 8) == 2);
        CHECK(pair.near.sendfile(file.descriptor(), 8, 100) == 2);
        CHECK(pair.near.sendfile(file.descriptor(), 10) == 0);
        CHECK(pair.near.sendfile(file.descriptor(), 0, 0) == 0);
        CHECK(pair.near.sendfile(file.descriptor(), 99) == 0);
        pair.near.shutdown(ShutdownHow::write);
        CHECK(receive_all(pair.far) == "34568989");
        CHECK(::lseek(file.descriptor(), 0, SEEK_CUR) == 0);
    }
    SECTION("what is no file is an error, and the socket blocks as before") {
        CHECK(error_of([&] { pair.near.sendfile(-1); }) == EBADF);
        CHECK((::fcntl(pair.near.fileno(), F_GETFL) & O_NONBLOCK) == 0);
    }
    SECTION("a receive in another thread, with a timeout, does not notice") {
        const File file{pattern(20'000'000)};
        pair.near.settimeout(longest_wait);
        std::string got;
        std::jthread reading{[&] { got = pair.near.recv(10); }};
        std::jthread peer{[&] {
            std::string rest(20'000'000, '\0');
            for (std::span<char> left{rest}; !left.empty();)
                left = left.subspan(pair.far.recv_into(left));
            pair.far.sendall("received");
        }};
        CHECK(pair.near.sendfile(file.descriptor()) == 20'000'000);
        peer.join();
        reading.join();
        CHECK(got == "received");
    }
}

namespace {

struct Pipe {
    Pipe() { REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0); }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        ::close(ends[0]);
        end();
    }
    void write(const std::string& data) const {
        CHECK(::write(ends[1], data.data(), data.size()) == static_cast<ssize_t>(data.size()));
    }
    void end() {
        if (ends[1] != -1) ::close(std::exchange(ends[1], -1));
    }
    std::array<int, 2> ends{-1, -1};
};

}  // namespace

TEST_CASE("what sendfile(2) does not take is read and sent") {
    auto pair = tcp_pair();
    SECTION("a pipe, to its end") {
        Pipe pipe;
        pipe.write("some, ");
        std::jthread writer{[&] {
            CHECK(pair.far.recv(6) == "some, ");  // the rest comes when this has been sent
            pipe.write("and more");
            pipe.end();
        }};
        CHECK(pair.near.sendfile(pipe.ends[0]) == 14);
        writer.join();
        CHECK(pair.far.recv(100) == "and more");
    }
    SECTION("a part of a pipe") {
        Pipe pipe;
        pipe.write("0123456789");
        CHECK(pair.near.sendfile(pipe.ends[0], 0, 4) == 4);
        CHECK(pair.far.recv(100) == "0123");
        CHECK(error_of([&] { pair.near.sendfile(pipe.ends[0], 1, 4); }) == ESPIPE);
    }
    SECTION("a file of /proc") {
        const int file = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
        REQUIRE(file != -1);
        CHECK(pair.near.sendfile(file, 0, 5) == 5);
        CHECK(pair.far.recv(100) == "Name:");
        CHECK(pair.near.sendfile(file, 1, 3) == 3);
        CHECK(pair.far.recv(100) == "ame");
        ::close(file);
    }
    SECTION("another socket") {
        auto source = unix_pair();
        source.far.sendall("from elsewhere");
        source.far.close();
        CHECK(pair.near.sendfile(source.near.fileno()) == 14);
        CHECK(pair.far.recv(100) == "from elsewhere");
    }
    SECTION("a file that was opened to append") {
        const File file{"0123456789"};
        const std::string path = "/proc/self/fd/" + std::to_string(file.descriptor());
        const int appending = ::open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
        REQUIRE(appending != -1);
        CHECK(pair.near.sendfile(appending, 2) == 8);
        CHECK(pair.far.recv(100) == "23456789");
        ::close(appending);
    }
    SECTION("large") {
        Pipe pipe;
        const std::string content = pattern(1'000'000);
        std::jthread writer{[&] {
            std::string_view left = content;
            while (!left.empty()) {
                const ssize_t written = ::write(pipe.ends[1], left.data(), left.size());
                if (written <= 0) return;
                left.remove_prefix(static_cast<std::size_t>(written));
            }
            pipe.end();
        }};
        Receiver receiver{pair.far};
        CHECK(pair.near.sendfile(pipe.ends[0]) == content.size());
        pair.near.shutdown(ShutdownHow::write);
        CHECK((receiver.join() == content));
    }
    CHECK((::fcntl(pair.near.fileno(), F_GETFL) & O_NONBLOCK) == 0);
}
