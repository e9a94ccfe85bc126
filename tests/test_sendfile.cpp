// SPDX-License-Identifier: MIT
#include <fcntl.h>

#include <span>
#include <string>
#include <thread>

#include "catch.hpp"
#include "connected_sockets.hpp"
#include "transfers.hpp"

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
