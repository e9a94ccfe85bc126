// SPDX-License-Identifier: MIT
// select(), on a thread and in a fiber.
#include "socketserver/select.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "socketserver/buffered_reader.hpp"
#include "socketserver/errors.hpp"
#include "support/carriers.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"

using namespace socketserver;
using namespace socketserver::tests;

namespace {

/// What another library might wait for.
struct Pipe {
    Pipe() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == -1) throw std::bad_alloc{};
        out = ends[0];
        in = ends[1];
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    ~Pipe() {
        ::close(in);
        ::close(out);
    }
    void put() const { written = ::write(in, "x", 1); }
    void fill() const {
        const std::string block(4096, 'x');
        while (::write(in, block.data(), block.size()) > 0) {
        }
    }
    int out = -1;
    int in = -1;
    mutable ssize_t written = 0;
};

/// The places that are ready.
std::vector<std::size_t> places(const Selected& selected) {
    std::vector<std::size_t> ready;
    for (std::size_t i = 0; i < selected.size(); ++i) {
        if (selected[i]) ready.push_back(i);
    }
    CHECK(static_cast<bool>(selected) == !ready.empty());
    return ready;
}
using Places = std::vector<std::size_t>;

}  // namespace

TEST_CASE("select waits for the first of several descriptors") {
    Pair one = tcp_pair();
    Pair two = unix_pair();
    const Pipe pipe;
    const int which = GENERATE(0, 1, 2);
    const Counts before;
    Selected selected{0};
    std::jthread later{[&] {
        std::this_thread::sleep_for(10ms);  // likely after the wait has begun; either way it counts
        if (which == 0) one.far.sendall("x");
        if (which == 1) two.far.sendall("x");
        if (which == 2) pipe.put();
    }};
    on_each_carrier([&] { selected = select({one.near, two.near, readable(pipe.out)}); });
    CHECK(places(selected) == Places{static_cast<std::size_t>(which)});
    later.join();
    CHECK(before.are_back());
}

TEST_CASE("select tells all that is ready, without waiting") {
    Pair one = tcp_pair();
    Pair two = tcp_pair();
    const Pipe pipe;
    one.far.sendall("x");
    two.far.close();
    on_each_carrier([&] {
        CHECK(eventually([&] { return select({one.near, two.near}, 0s)[1]; }));
        const Selected selected =
            select({one.near, two.near, readable(pipe.out), writable(pipe.in)}, patience);
        CHECK(places(selected) == Places{0, 1, 3});
        CHECK_THROWS_AS(selected[4], std::out_of_range);
    });
}

TEST_CASE("a reader is ready when it has bytes, has them buffered, or is at the end") {
    Pair pair = tcp_pair();
    pair.far.sendall("one\ntwo\n");
    BufferedReader memory{"text"};
    on_each_carrier([&] {
        BufferedReader reader{pair.near};
        CHECK(places(select({reader}, patience)) == Places{0});
        CHECK(reader.readline() == "one\n");
        CHECK(places(select({reader, pair.near}, patience)) == Places{0});  // buffered
        CHECK(reader.readline() == "two\n");
        CHECK(places(select({reader}, 1ms)).empty());
        pair.far.shutdown(ShutdownHow::write);
        CHECK(places(select({reader}, patience)) == Places{0});
        CHECK(reader.readline().empty());
        CHECK(places(select({memory}, patience)) == Places{0});
    });
}

TEST_CASE("select sends what a writer holds back before it waits, and not if something is there") {
    on_each_carrier([] {
        Pair pair = tcp_pair();
        BufferedReader reader{pair.near};
        BufferedWriter writer{pair.near, 100};
        pair.far.sendall("ab");
        CHECK(reader.read_exactly(1) == "a");
        writer.write("answer");
        CHECK(places(select({reader}, 0s)) == Places{0});
        CHECK(writer.data() == "answer");
        CHECK(reader.read1(1) == "b");
        CHECK(places(select({reader}, 0s)).empty());  // a look is no wait
        CHECK(writer.data() == "answer");
        CHECK(places(select({reader}, 1ms)).empty());
        CHECK(writer.data().empty());
        CHECK(pair.far.recv(100) == "answer");
        writer.write("more");
        CHECK(places(select({pair.near}, 1ms)).empty());
        CHECK(pair.far.recv(100) == "more");
    });
}

TEST_CASE("select of nothing but a time") {
    Pair pair = tcp_pair();
    on_each_carrier([&] {
        Stopwatch watch;
        CHECK_FALSE(select({}, 20ms));
        CHECK(watch.elapsed() >= 20ms);
        watch = {};
        CHECK(places(select({pair.near, Selectable{}}, 20ms)).empty());
        CHECK(watch.elapsed() >= 20ms);
        CHECK(places(select({pair.near}, 0s)).empty());
        CHECK(places(select({pair.near}, -1s)).empty());
    });
}

TEST_CASE("select for writing") {
    const Pipe pipe;
    pipe.fill();
    std::jthread later;
    on_each_carrier([&] {
        CHECK(places(select({writable(pipe.in)}, 1ms)).empty());
        later = std::jthread{[&] {
            std::array<char, 65536> all{};
            while (::read(pipe.out, all.data(), all.size()) > 0) {
            }
        }};
        CHECK(places(select({writable(pipe.in)}, patience)) == Places{0});
    });
}

TEST_CASE("a descriptor may be named twice, be a file, or be somebody else's as well") {
    Pair pair = tcp_pair();
    const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    const int copy = ::dup(pair.near.fileno());
    pair.near.settimeout(1ms);
    on_each_carrier([&] {
        CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);  // a carrier remembers the socket
        CHECK(places(select({readable(pair.near.fileno()), writable(pair.near.fileno())},
                            patience)) == Places{1});
        CHECK(places(select({pair.near, pair.near, readable(copy)}, 1ms)).empty());
        CHECK(places(select({pair.near, readable(file)}, patience)) == Places{1});
        pair.far.sendall("x");
        CHECK(places(select({pair.near, pair.near, readable(copy)}, patience)) == Places{0, 1, 2});
        CHECK(pair.near.recv(10) == "x");
        CHECK_THROWS_AS(pair.near.recv(1), TimeoutError);
    });
    ::close(copy);
    ::close(file);
}

TEST_CASE("select of a closed descriptor is an error") {
    Pair pair = tcp_pair();
    constexpr int closed = 1'000'000'000;  // more than any process may have
    Socket none;
    on_each_carrier([&] {
        CHECK(error_of([&] { select({pair.near, none}, patience); }) == EBADF);
        CHECK(error_of([&] { select({pair.near, readable(closed)}, patience); }) == EBADF);
    });
}

TEST_CASE("hung_up is ready at the end of the peer, and not for bytes") {
    Pair pair = tcp_pair();
    pair.far.sendall("x");
    std::jthread later;
    on_each_carrier([&] {
        CHECK(places(select({pair.near}, patience)) == Places{0});
        CHECK(places(select({hung_up(pair.near)}, 1ms)).empty());
        later = std::jthread{[&] { pair.far.close(); }};
        CHECK(places(select({hung_up(pair.near)}, patience)) == Places{0});
        CHECK(pair.near.recv(10) == "x");
    });
}

TEST_CASE("select takes as many things as there are") {
    std::vector<Pipe> pipes(100);
    std::vector<Selectable> things;
    for (const Pipe& pipe : pipes) things.push_back(readable(pipe.out));
    on_each_carrier([&] {
        CHECK(places(select(things, 1ms)).empty());
        pipes[7].put();
        pipes[93].put();
        CHECK(places(select(things, patience)) == Places{7, 93});
    });
}
