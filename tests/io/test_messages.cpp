// SPDX-License-Identifier: MIT
// Cutting a stream, or a datagram, into messages: by number, by a delimiter, by lines without ends.
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "socketserver/socketserver.hpp"
#include "support/carriers.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/serving.hpp"
#include "support/transfers.hpp"
#ifdef SOCKETSERVER_TEST_FIBER
#    include "support/fiber_serving.hpp"
#endif

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

using Texts = std::vector<std::pair<std::string, bool>>;

Texts lines_of(BufferedReader& reader) {
    Texts all;
    for (const auto& [text, has_end] : reader.lines()) all.emplace_back(text, has_end);
    return all;
}

/// A peer that sends its text in pieces of a few bytes, from a thread of its own.
class Trickle {
  public:
    explicit Trickle(std::string text)
        : pair_{unix_pair()}, sending_{[this, text = std::move(text)] {
              for (std::size_t at = 0; at < text.size(); at += 7) {
                  pair_.far.sendall(std::string_view{text}.substr(at, 7));
              }
              pair_.far.shutdown(ShutdownHow::write);
          }} {
        pair_.near.settimeout(longest_wait);
    }
    Socket& socket() { return pair_.near; }

  private:
    Pair pair_;
    std::jthread sending_;
};

}  // namespace

TEST_CASE("a line without its end, which is LF or CRLF") {
    BufferedReader reader{"one\r\ntwo\n\n\r\nfo\rur\r\r\nlast\r"sv};
    CHECK(lines_of(reader) == Texts{{"one", true},
                                    {"two", true},
                                    {"", true},
                                    {"", true},
                                    {"fo\rur\r", true},
                                    {"last\r", false}});
    CHECK_FALSE(reader.next_line());
}

TEST_CASE("a last line with an end is a whole one") {
    BufferedReader reader{"one\n"sv};
    const auto line = reader.next_line();
    REQUIRE(line);
    CHECK(line->has_end);
    CHECK_FALSE(reader.next_line());
    BufferedReader empty{""sv};
    CHECK_FALSE(empty.next_line());
}

TEST_CASE("the limit of a line without its end counts the end") {
    BufferedReader reader{"four\r\n12345\r\n"sv};
    CHECK(reader.next_line(6)->text == "four");
    CHECK_THROWS_AS(reader.next_line(6), LineTooLong);
    CHECK(reader.next_line(7)->text == "12345");
    BufferedReader other{"1234\n"sv};
    CHECK_THROWS_AS(other.lines(4).begin(), LineTooLong);
}

TEST_CASE("read_until takes any delimiter") {
    BufferedReader reader{"one\0two\r\nthree;;;four<end>rest"sv};
    CHECK(reader.read_until("\0") == "one\0"sv);
    CHECK(reader.read_until("\r\n") == "two\r\n");
    CHECK(reader.read_until(std::string{";;"}) == "three;;");
    CHECK(reader.read_until("<end>"sv) == ";four<end>");
    CHECK(reader.read_until("\0") == "rest");  // the end of the stream
    CHECK(reader.read_until("\0").empty());
    CHECK_THROWS_AS(reader.read_until(""), std::invalid_argument);
}

TEST_CASE("a delimiter may come in pieces") {
    on_each_carrier([] {
        Pair pair = unix_pair();
        BufferedReader reader{pair.near};
        pair.near.settimeout(5ms);
        for (const std::string_view piece : {"me\rssage\r"sv, "\n\r"sv}) {
            pair.far.sendall(piece);
            CHECK_THROWS_AS(reader.read_until("\r\n\r\n"), TimeoutError);  // and nothing is lost
        }
        pair.far.sendall("\nbody");
        CHECK(reader.read_until("\r\n\r\n") == "me\rssage\r\n\r\n");
        CHECK(reader.read(4) == "body");
    });
}

TEST_CASE("the limit of read_until counts the delimiter, and loses nothing") {
    BufferedReader reader{"12345\r\nx\r\n"sv};
    CHECK(reader.read_until("\r\n", 7) == "12345\r\n");
    CHECK_THROWS_AS(reader.read_until("\r\n", 2), LineTooLong);
    CHECK(text_of([&] { reader.read_until("\r\n", 2); }) ==
          "read_until: no end of line within 2 bytes");
    CHECK(reader.read_until("\r\n", 3) == "x\r\n");
    on_each_carrier([] {
        Trickle peer{std::string(100'000, 'x')};
        BufferedReader long_one{peer.socket()};
        CHECK_THROWS_AS(long_one.read_until("\0"), LineTooLong);
        CHECK(long_one.read().size() == 100'000);
    });
}

TEST_CASE("delimiters are found as a simple model finds them") {
    const int run = GENERATE(range(0, 30));
    const unsigned seed = std::random_device{}();
    INFO("run " << run << ", seed " << seed);
    std::mt19937 engine{seed};
    std::string stream;
    for (int i = 0; i < 5000; ++i) stream += "ab\n"[engine() % 3];
    const std::string delimiter = std::string{"aab"}.substr(0, 1 + engine() % 3) + "\n";
    Trickle peer{stream};
    BufferedReader reader{peer.socket(), engine() % 2 * 100};
    std::string_view rest = stream;
    while (!rest.empty()) {
        const std::size_t at = rest.find(delimiter);
        const std::size_t size = at == std::string_view::npos ? rest.size() : at + delimiter.size();
        const std::string expected{rest.substr(0, size)};
        REQUIRE(reader.read_until(delimiter) == expected);
        rest.remove_prefix(size);
    }
    CHECK(reader.read_until(delimiter).empty());
}

TEST_CASE("read_exactly gives all bytes, or says how many came") {
    const std::size_t buffer_size = GENERATE(std::size_t{0}, std::size_t{8192});
    on_each_carrier([buffer_size] {
        constexpr std::size_t huge = std::numeric_limits<std::size_t>::max() / 16;
        Trickle peer{"0123456789abcdefghij"};
        BufferedReader reader{peer.socket(), buffer_size};
        CHECK(reader.read_exactly(10) == "0123456789");
        CHECK(reader.read_exactly(0).empty());
        std::array<char, 4> four{};
        reader.read_exactly(std::span{four});
        CHECK(std::string_view{four.data(), four.size()} == "abcd");
        try {
            reader.read_exactly(huge);  // announced, and never sent
            FAIL("nothing was thrown");
        } catch (const IncompleteReadError& error) {
            CHECK(error.partial() == "efghij");
            CHECK(error.expected() == huge);
        }
        CHECK_THROWS_AS(reader.read_exactly(1), IncompleteReadError);
        CHECK_THROWS_AS(reader.read_exactly(std::span{four}), IncompleteReadError);
    });
}

TEST_CASE("a timeout in the middle of counted bytes loses none of them") {
    on_each_carrier([] {
        for (const std::size_t buffer_size : {std::size_t{0}, std::size_t{8192}}) {
            Pair pair = tcp_pair();
            BufferedReader reader{pair.near, buffer_size};
            pair.near.settimeout(20ms);
            std::string expected;
            for (const std::size_t size : {3U, 20'000U, 1U}) {
                const std::string part(size, static_cast<char>('a' + size % 7));
                pair.far.sendall(part);
                expected += part;
                CHECK_THROWS_AS(reader.read_exactly(50'000), TimeoutError);
                CHECK_THROWS_AS(reader.read(50'000), TimeoutError);
                CHECK_THROWS_AS(reader.read(), TimeoutError);
            }
            pair.far.shutdown(ShutdownHow::write);
            pair.near.settimeout(longest_wait);
            CHECK((reader.read_exactly(expected.size() - 1) == expected.substr(0, 20'003)));
            CHECK(reader.read() == expected.substr(20'003));
        }
    });
}

TEST_CASE("integers are read, and written, in both orders") {
    on_each_carrier([] {
        Pair pair = unix_pair();
        BufferedWriter writer{pair.far};
        writer.write_integer<std::uint16_t>(443);
        writer.write_integer<std::uint32_t>(std::size_t{7}, std::endian::little);
        writer.write_integer<std::int8_t>(-3);
        CHECK_THROWS_AS(writer.write_integer<std::uint8_t>(256), std::out_of_range);
        writer.write("abc");
        pair.far.shutdown(ShutdownHow::write);
        BufferedReader reader{pair.near};
        CHECK(reader.read_integer<std::uint16_t>() == 443);
        CHECK(reader.read_integer<std::uint32_t>(std::endian::little) == 7);
        CHECK(reader.read_integer<std::int8_t>() == -3);
        CHECK_THROWS_AS(reader.read_integer<std::uint32_t>(), IncompleteReadError);
    });
}

TEST_CASE("integers of a datagram do not reach beyond its end") {
    BufferedWriter writer;
    writer.write_integer<std::uint16_t>(0x1234);
    writer.write_integer<std::uint8_t>(1);
    CHECK(writer.data() == "\x12\x34\x01");
    BufferedReader reader{writer.data()};
    CHECK(reader.read_integer<std::uint16_t>() == 0x1234);
    CHECK_THROWS_AS(reader.read_integer<std::uint16_t>(), IncompleteReadError);
    BufferedReader again{writer.data()};
    CHECK_THROWS_AS(again.read_exactly(4), IncompleteReadError);
}

TEST_CASE("recv_exactly gives all bytes, or says how many came") {
    on_each_carrier([] {
        Pair pair = tcp_pair();
        const std::string all = pattern(1'000'000);
        std::jthread sending{[&] {
            for (std::size_t at = 0; at < all.size(); at += 300'001) {
                pair.far.sendall(std::string_view{all}.substr(at, 300'001));
            }
            pair.far.shutdown(ShutdownHow::write);
        }};
        CHECK((pair.near.recv_exactly(700'000) == all.substr(0, 700'000)));
        std::array<char, 5> five{};
        pair.near.recv_exactly(std::span{five});
        CHECK(std::string_view(five.data(), five.size()) == all.substr(700'000, 5));
        CHECK(pair.near.recv_exactly(0).empty());
        try {
            pair.near.recv_exactly(std::numeric_limits<std::size_t>::max() / 16);
            FAIL("nothing was thrown");
        } catch (const IncompleteReadError& error) {
            CHECK((error.partial() == all.substr(700'005)));
        }
        CHECK_THROWS_AS(pair.near.recv_exactly(std::span{five}), IncompleteReadError);
    });
}

TEST_CASE("the time of recv_exactly is for all of it") {
    on_each_carrier([] {
        Pair pair = tcp_pair();
        pair.near.settimeout(100ms);
        std::atomic<bool> is_over = false;
        std::jthread sending{[&] {  // more often than the timeout, for ever
            while (!is_over) {
                pair.far.sendall("x");
                std::this_thread::sleep_for(10ms);
            }
        }};
        CHECK_THROWS_AS(pair.near.recv_exactly(1'000'000), TimeoutError);
        pair.near.settimeout(0ms);
        int error = 0;
        while (error == 0) error = error_of([&] { pair.near.recv_exactly(1); });
        CHECK(error == EAGAIN);
        is_over = true;
    });
}

namespace {

/// Answers messages that begin with their size.
class Framed : public StreamRequestHandler {
    void handle() override {
        while (!rfile().peek().empty()) {
            const auto size = rfile().read_integer<std::uint32_t>();
            const std::string message = rfile().read_exactly(size);
            wfile().write_integer<std::uint32_t>(message.size());
            wfile().write(message);
        }
    }
};

/// A connection whose client is in the middle of a message is not idle, though its first part came
/// together with the message before it: a drain lets it finish.
template <class Server>
void check_drain() {
    const TimeLimit limit;
    Server server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    client.sendall("\0\0\0\3one\0\0\0\3t"s);
    CHECK(client.recv_exactly(7) == "\0\0\0\3one"s);
    std::jthread drain{[&] { server.drain(20s); }};
    CHECK(eventually([&] { return server.is_draining(); }));
    CHECK(client.peer_has_ended() == false);
    client.sendall("wo");
    CHECK(client.recv_exactly(7) == "\0\0\0\3two"s);
    CHECK(client.recv(1).empty());
}

}  // namespace

TEST_CASE("a drain waits for the rest of counted bytes: threads") {
    check_drain<ThreadingTCPServer<Framed>>();
}
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("a drain waits for the rest of counted bytes: fibers") {
    check_drain<FiberTCPServer<Framed>>();
}
#endif
