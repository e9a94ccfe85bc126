// SPDX-License-Identifier: MIT
#include "socketserver/buffered_reader.hpp"

#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "socketserver/errors.hpp"
#include "socketserver/socket.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver;
using namespace socketserver::tests;
using namespace std::string_literals;

namespace {

/// A peer that sends `chunks`, each of which one receive gets, and ends its side.
class ChunkedSource {
  public:
    explicit ChunkedSource(std::vector<std::string> chunks)
        : chunks_{std::move(chunks)}, recv_{[this](int, void* data, std::size_t size, int) {
              return next(data, size);
          }} {}
    Socket& socket() { return pair_.near; }
    int receives() const { return receives_; }

  private:
    ssize_t next(void* data, std::size_t size) {
        ++receives_;
        if (at_ == chunks_.size()) return 0;
        std::string& chunk = chunks_[at_];
        const std::size_t taken = chunk.copy(static_cast<char*>(data), size);
        chunk.erase(0, taken);
        if (chunk.empty()) ++at_;
        return static_cast<ssize_t>(taken);
    }

    std::vector<std::string> chunks_;
    std::size_t at_ = 0;
    int receives_ = 0;
    Pair pair_ = unix_pair();
    Scripted<&Calls::recv> recv_;
};

std::vector<std::string> all_lines(BufferedReader& reader) {
    std::vector<std::string> lines;
    for (std::string_view line : reader) lines.emplace_back(line);
    return lines;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("lines of memory") {
    BufferedReader reader{"one\n\ntwo\r\nlast"};
    CHECK(all_lines(reader) == Lines{"one\n", "\n", "two\r\n", "last"});
    CHECK(reader.readline().empty());
    CHECK(reader.read().empty());
}

TEST_CASE("memory without bytes is at its end") {
    BufferedReader reader{std::string_view{}};
    std::string byte(1, 'x');
    CHECK(reader.readline().empty());
    CHECK(reader.read().empty());
    CHECK(reader.read(1).empty());
    CHECK(reader.read1().empty());
    CHECK(reader.readinto(byte) == 0);
    CHECK(reader.peek().empty());
    CHECK(byte == "x");
}

TEST_CASE("lines of a socket, across receives") {
    ChunkedSource source{{"o", "ne\ntw", "o\nthree\nfo", "ur\n", "la", "st"}};
    const std::size_t buffer_size = GENERATE(0U, 1U, 8192U);
    BufferedReader reader{source.socket(), buffer_size};
    CHECK(all_lines(reader) == Lines{"one\n", "two\n", "three\n", "four\n", "last"});
}

TEST_CASE("lines that come together cost one receive") {
    ChunkedSource source{{"one\ntwo\nthree\n", "x"}};
    BufferedReader reader{source.socket()};
    CHECK(reader.readline() == "one\n");
    CHECK(reader.readline() == "two\n");
    CHECK(reader.readline() == "three\n");
    CHECK(source.receives() == 1);
}

TEST_CASE("a line may contain zeros and any other byte") {
    std::string line;
    for (int byte = 0; byte < 256; ++byte) {
        if (byte != '\n') line += static_cast<char>(byte);
    }
    line += '\n';
    ChunkedSource source{{line + "\0\n"s}};
    BufferedReader reader{source.socket()};
    CHECK(reader.readline() == line);
    CHECK(reader.readline() == "\0\n"s);
}

TEST_CASE("the limit counts the end of the line") {
    ChunkedSource source{{"12", "34\n", "12345\nrest"}};
    const std::size_t buffer_size = GENERATE(0U, 8192U);
    BufferedReader reader{source.socket(), buffer_size};
    CHECK(reader.readline(5) == "1234\n");
    CHECK_THROWS_AS(reader.readline(5), LineTooLong);
    CHECK_THAT(text_of([&] { reader.readline(5); }), Catch::Matchers::ContainsSubstring("5 bytes"));
    CHECK(reader.read1(3) == "123");
    CHECK(reader.readline(3) == "45\n");
    CHECK(reader.read() == "rest");
}

TEST_CASE("a last line without end within the limit") {
    ChunkedSource source{{"123"}};
    BufferedReader reader{source.socket()};
    CHECK(reader.readline(4) == "123");
}

TEST_CASE("the buffer grows up to the limit, and nothing of a line that is too long is lost") {
    const std::size_t limit = BufferedReader::default_line_limit;
    const std::string longest = std::string(limit - 1, 'a') + '\n';
    const std::string too_long = std::string(limit, 'b') + '\n';
    std::vector<std::string> chunks;
    for (const std::string& line : {"x\n"s, longest, "y\n"s, too_long}) {
        for (std::size_t i = 0; i < line.size(); i += 1000) chunks.push_back(line.substr(i, 1000));
    }
    ChunkedSource source{chunks};
    BufferedReader reader{source.socket()};
    CHECK(reader.readline() == "x\n");
    CHECK((reader.readline() == longest));
    CHECK(reader.readline() == "y\n");
    CHECK_THROWS_AS(reader.readline(), LineTooLong);
    CHECK((reader.read() == too_long));
}

TEST_CASE("read(n) waits for n bytes, or the end of stream") {
    ChunkedSource source{{"12", "345", "6789"}};
    const std::size_t buffer_size = GENERATE(0U, 8192U);
    BufferedReader reader{source.socket(), buffer_size};
    CHECK(reader.read(0).empty());
    CHECK(source.receives() == 0);
    CHECK(reader.read(4) == "1234");
    CHECK(reader.read(1) == "5");
    CHECK(reader.read(100) == "6789");
    CHECK(reader.read(100).empty());
}

TEST_CASE("read() takes everything") {
    const std::string large(300'000, 'l');
    ChunkedSource source{{"line\n", large, "end"}};
    const std::size_t buffer_size = GENERATE(0U, 8192U);
    BufferedReader reader{source.socket(), buffer_size};
    CHECK(reader.readline() == "line\n");
    CHECK((reader.read() == large + "end"));
    CHECK(reader.read().empty());
}

TEST_CASE("read1, readinto and peek receive at most once") {
    ChunkedSource source{{"1234", "5678", "90"}};
    BufferedReader reader{source.socket()};
    CHECK(reader.peek() == "1234");
    CHECK(reader.peek() == "1234");
    CHECK(reader.read1(2) == "12");
    CHECK(reader.read1(100) == "34");
    CHECK(source.receives() == 1);
    std::string three(3, '\0');
    CHECK(reader.readinto(three) == 3);
    CHECK(three == "567");
    CHECK(reader.readinto(three) == 1);
    CHECK(three[0] == '8');
    CHECK(source.receives() == 2);
    CHECK(reader.readinto(std::span<char>{}) == 0);
    CHECK(reader.read1(0).empty());
    std::string large(10'000, '\0');
    CHECK(reader.readinto(large) == 2);
    CHECK(large.substr(0, 2) == "90");
    CHECK(source.receives() == 3);
    CHECK(reader.peek().empty());
    CHECK(reader.read1().empty());
    CHECK(reader.readinto(large) == 0);
}

TEST_CASE("a reader without buffer takes not one byte too many") {
    auto pair = unix_pair();
    BufferedReader reader{pair.near, 0};
    pair.far.sendall("line\nabcdefghij");
    CHECK(reader.readline() == "line\n");
    CHECK(pair.near.recv(1) == "a");
    CHECK(reader.read(2) == "bc");
    CHECK(pair.near.recv(1) == "d");
    CHECK(reader.read1(2) == "ef");
    CHECK(pair.near.recv(1) == "g");
    std::string two(2, '\0');
    CHECK(reader.readinto(two) == 2);
    CHECK(two == "hi");
    CHECK(pair.near.recv(10) == "j");
}

TEST_CASE("a view stays until the next call, whatever was received before") {
    ChunkedSource source{{std::string(8000, 'a') + "\nb", std::string(5000, 'b') + "\n"}};
    BufferedReader reader{source.socket()};
    CHECK((reader.readline() == std::string(8000, 'a') + "\n"));
    CHECK((reader.readline() == std::string(5001, 'b') + "\n"));
}

TEST_CASE("an error while a line is received loses nothing") {
    auto pair = unix_pair();
    BufferedReader reader{pair.near};
    pair.far.sendall("half a ");
    pair.near.settimeout(std::chrono::milliseconds{5});
    CHECK_THROWS_AS(reader.readline(), TimeoutError);
    pair.far.sendall("line\n");
    CHECK(reader.readline() == "half a line\n");
}

TEST_CASE("a reader and a simple model agree on random calls") {
    const int run = GENERATE(range(0, 60));
    const unsigned seed = std::random_device{}();
    INFO("run " << run << ", seed " << seed);
    std::mt19937 engine{seed};
    const auto any = [&](std::size_t most) {
        return std::uniform_int_distribution<std::size_t>{0, most}(engine);
    };

    std::string stream;
    const std::size_t size = any(60'000);
    while (stream.size() < size) {
        stream += std::string(any(any(9) == 0 ? 20'000 : 60), static_cast<char>('a' + any(25)));
        stream += '\n';
    }
    stream.resize(size);
    std::vector<std::string> chunks;
    for (std::size_t at = 0; at < stream.size(); at += chunks.back().size()) {
        chunks.push_back(stream.substr(at, 1 + any(any(3) == 0 ? 9'000 : 100)));
    }
    ChunkedSource source{chunks};
    BufferedReader reader{source.socket(), any(2) == 0 ? 0 : any(20'000)};

    std::size_t at = 0;
    const auto matches = [&](std::string_view got) {
        const bool same = stream.compare(at, got.size(), got) == 0;
        at += got.size();
        return same;
    };
    bool agree = true;
    while (agree && at < stream.size()) {
        const std::size_t left = stream.size() - at;
        switch (any(4)) {
            case 0: {
                const std::size_t limit = 1 + any(30'000);
                const std::size_t end = stream.find('\n', at);
                const std::size_t length = end == std::string::npos ? left : end - at + 1;
                try {
                    const std::string_view line = reader.readline(limit);
                    agree = line.size() == length && length <= limit && matches(line);
                } catch (const LineTooLong&) {
                    agree = length > limit || (length == limit && end == std::string::npos);
                }
                break;
            }
            case 1: {
                const std::size_t wanted = any(10'000);
                const std::string got = reader.read(wanted);
                agree = got.size() == std::min(wanted, left) && matches(got);
                break;
            }
            case 2: {
                const std::size_t most = 1 + any(10'000);
                const std::string got = reader.read1(most);
                agree = !got.empty() && got.size() <= most && matches(got);
                break;
            }
            case 3: {
                std::string buffer(1 + any(30'000), '\0');
                buffer.resize(reader.readinto(buffer));
                agree = !buffer.empty() && matches(buffer);
                break;
            }
            default: {
                const std::string_view seen = reader.peek();
                agree = !seen.empty() && stream.compare(at, seen.size(), seen) == 0;
            }
        }
    }
    CHECK(agree);
    CHECK(at == stream.size());
    CHECK(reader.readline().empty());
}

TEST_CASE("the iterators of lines step afterwards as well, and give access to members") {
    BufferedReader reader{"one\ntwo\nthree\n"};
    auto line = reader.begin();
    CHECK(*line == "one\n");
    line++;
    CHECK(*line == "two\n");
    const auto lines = reader.lines();
    auto each = lines.begin();
    CHECK(each->text == "three");
    each++;
    CHECK((each == lines.end()));
}
