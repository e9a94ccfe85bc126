// SPDX-License-Identifier: MIT
// A writer with a buffer that several threads, or fibers, write to while another one reads.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <sys/socket.h>

#include "socketserver/detail/io/carrier_mutex.hpp"
#include "socketserver/socketserver.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"
#ifdef SOCKETSERVER_TEST_FIBER
#    include "support/fiber_serving.hpp"
#endif

using namespace socketserver;
using namespace socketserver::tests;

namespace {

constexpr int writers = 3;
constexpr int lines_of_each = 1500;

/// Lines of many lengths, some of them longer than the buffer.
void write_lines(BufferedWriter& writer, int name) {
    for (int i = 0; i < lines_of_each; ++i) {
        const std::string padding(static_cast<std::size_t>(i % 37 == 0 ? 300 : i % 40), 'x');
        writer.print("{} {} {}\n", name, i, padding);
        if (i % 100 == 0) writer.flush();
    }
}

/// Answers each line while the others write.
void answer(BufferedReader& reader, BufferedWriter& writer) {
    for (std::string_view line : reader) writer.write(line);
}

class SharedByThreads : public StreamRequestHandler {
  public:
    SharedByThreads() { wbufsize = 256; }

  private:
    void handle() override {
        std::vector<std::jthread> others;
        for (int i = 0; i < writers; ++i)
            others.emplace_back([this, i] { write_lines(wfile(), i); });
        answer(rfile(), wfile());
    }
};

#ifdef SOCKETSERVER_TEST_FIBER
/// Both kinds at once.
class SharedByFibers : public StreamRequestHandler {
  public:
    SharedByFibers() { wbufsize = 256; }

  private:
    void handle() override {
        std::jthread thread;
        std::vector<Fiber> others;
        for (int i = 0; i + 1 < writers; ++i) {
            others.push_back(spawn([this, i] { write_lines(wfile(), i); }));
        }
        thread = std::jthread{[this] { write_lines(wfile(), writers - 1); }};
        answer(rfile(), wfile());
        for (Fiber& each : others) each.join();
        run_blocking([&] { thread.join(); });
    }
};
#endif

/// All lines arrive, each whole, those of one writer in order; the pings and their answers too.
template <class Server>
void check_shared() {
    const TimeLimit limit;
    Server server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    constexpr int pings = 500;
    const std::jthread asking{[&] {
        for (int i = 0; i < pings; ++i) client.sendall(fmt::format("{} {} \n", writers, i));
        client.shutdown(ShutdownHow::write);
    }};
    std::vector<int> next(writers + 1, 0);
    BufferedReader reader{client};
    bool in_order = true;
    for (std::string_view line : reader) {
        const std::size_t name = static_cast<std::size_t>(line[0] - '0');
        in_order = in_order && name < next.size() && line[1] == ' ' && line.back() == '\n' &&
                   line.substr(2).starts_with(fmt::format("{} ", next[name]));
        if (!in_order) break;
        ++next[name];
    }
    CHECK(in_order);
    CHECK(next == std::vector<int>{lines_of_each, lines_of_each, lines_of_each, pings});
}

}  // namespace

TEST_CASE("wfile from several threads, beside a handler that reads") {
    check_shared<ThreadingTCPServer<SharedByThreads>>();
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("wfile from several fibers and a thread, beside a handler that reads") {
    check_shared<FiberTCPServer<SharedByFibers>>();
}
#endif

TEST_CASE("a reader does not wait for a writer that waits for the peer") {
    const TimeLimit limit;
    Pair pair = unix_pair();
    pair.near.settimeout(longest_wait);
    pair.far.settimeout(longest_wait);
    BufferedWriter writer{pair.near, 16};
    const std::size_t in_the_way = fill(pair.near);
    std::atomic<bool> is_sending = false;
    const Scripted<&Calls::send> send{[&](int fd, const void* data, std::size_t size, int flags) {
        is_sending = true;
        return sys::kernel.send(fd, data, size, flags);
    }};
    std::jthread writing{[&] {
        writer.write("held back, ");
        writer.write("then sent, ");  // does not fit: sends the first, which waits
    }};
    REQUIRE(eventually([&] { return is_sending.load(); }));
    BufferedReader reader{pair.near};
    ::send(pair.far.fileno(), "one\n", 4, 0);
    CHECK(reader.readline() == "one\n");
    // Nobody calls flush(): what the reader wanted to be sent before it waits, the writer sends.
    std::string second;
    std::jthread reading{[&] { second = reader.readline(); }};
    std::string received;
    while (received.size() < in_the_way + 22) received += pair.far.recv(65536);
    CHECK(received.substr(in_the_way) == "held back, then sent, ");
    pair.far.sendall("two\n");
    reading.join();
    CHECK(second == "two\n");
    writing.join();
}

TEST_CASE("a send waits until a reader has sent what was held back") {
    const TimeLimit limit;
    Pair pair = unix_pair();
    BufferedWriter writer{pair.near, 100};
    writer.write("first, ");
    const std::size_t in_the_way = fill(pair.near);
    BufferedReader reader{pair.near};
    std::jthread reading{[&] { reader.readline(); }};  // sends "first, ", which waits
    std::jthread writing{[&] { pair.near.sendall("second"); }};
    std::string received;
    while (received.size() < in_the_way + 13) received += pair.far.recv(65536);
    CHECK(received.substr(in_the_way) == "first, second");
    pair.far.shutdown(ShutdownHow::write);
}

TEST_CASE("one at a time, first come, first served") {
    const TimeLimit limit;
    detail::CarrierMutex mutex;
    int count = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&] {
                for (int turn = 0; turn < 5000; ++turn) {
                    const std::lock_guard lock{mutex};
                    ++count;
                }
            });
        }
    }
    CHECK(count == 20'000);
    CHECK(mutex.try_lock());
    CHECK_FALSE(mutex.try_lock());
    mutex.unlock();
}

#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("a fiber that waits for the mutex holds up nobody, and is cancelled with its server") {
    const TimeLimit limit;
    detail::CarrierMutex mutex;
    mutex.lock();
    std::atomic<int> waiting = 0;
    CallingServer server{[&](Calling& handler) {
        if (handler.rfile().readline() == "lock\n") {
            ++waiting;
            const std::lock_guard lock{mutex};
            handler.wfile().write("locked\n");
        } else {
            handler.wfile().write("free\n");
        }
    }};
    ServingThread serving{server};
    Socket first = connect(server.server_address());
    Socket second = connect(server.server_address());
    first.sendall("lock\n");
    second.sendall("lock\n");
    CHECK(eventually([&] { return waiting == 2; }));
    CHECK(ask(server.server_address(), "other\n") == "free\n");
    mutex.unlock();
    CHECK(first.recv(100) == "locked\n");
    CHECK(second.recv(100) == "locked\n");
    CHECK(eventually([&] { return mutex.try_lock(); }));  // the handlers unlock afterwards
    Socket third = connect(server.server_address());
    third.sendall("lock\n");
    CHECK(eventually([&] { return waiting == 3; }));
    serving.stop();
    CHECK(server.errors() == std::vector<std::string>{"cancelled"});
    mutex.unlock();
    CHECK(mutex.try_lock());
    mutex.unlock();
}
#endif
