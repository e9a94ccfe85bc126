// SPDX-License-Identifier: MIT
#include "socketserver/buffered_writer.hpp"

#include <string>
#include <vector>

#include "socketserver/buffered_reader.hpp"
#include "socketserver/errors.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/scripted_sys.hpp"

using namespace socketserver;
using namespace socketserver::tests;

namespace {

/// What was sent, one entry for each send.
class Sends {
  public:
    const std::vector<std::string>& all() const { return all_; }
    /// The next send fails.
    void fail_with(int error) { error_ = error; }

  private:
    std::vector<std::string> all_;
    int error_ = 0;
    Scripted<&Calls::send> send_{[this](int fd, const void* data, std::size_t size, int flags) {
        all_.emplace_back(static_cast<const char*>(data), size);
        if (const int error = std::exchange(error_, 0)) return static_cast<ssize_t>(fail(error));
        return sys::kernel.send(fd, data, size, flags);
    }};
};

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("without a buffer each write is one send") {
    auto pair = unix_pair();
    const Sends sends;
    BufferedWriter writer{pair.near};
    CHECK(writer.write("one") == 3);
    CHECK(writer.write("") == 0);
    CHECK(writer.write("two") == 3);
    writer.print("{}-{:02}", "three", 4);
    writer.flush();
    CHECK(sends.all() == Texts{"one", "two", "three-04"});
    CHECK(writer.data().empty());
}

TEST_CASE("with a buffer writes are held back until flush") {
    auto pair = unix_pair();
    const Sends sends;
    BufferedWriter writer{pair.near, 100};
    writer.write("one ");
    writer.print("{} ", "two");
    CHECK(writer.data() == "one two ");
    CHECK(sends.all().empty());
    writer.flush();
    writer.flush();
    CHECK(sends.all() == Texts{"one two "});
    CHECK(writer.data().empty());
    writer.write("again");
    writer.flush();
    CHECK(sends.all() == Texts{"one two ", "again"});
}

TEST_CASE("a full buffer is sent, and what is larger than it goes around it") {
    auto pair = unix_pair();
    const Sends sends;
    BufferedWriter writer{pair.near, 8};
    writer.write("12345");
    writer.write("678");
    CHECK(sends.all().empty());
    writer.write("9");
    CHECK(sends.all() == Texts{"12345678"});
    writer.write("larger than eight");
    CHECK(sends.all() == Texts{"12345678", "9", "larger than eight"});
    CHECK(writer.data().empty());
}

TEST_CASE("what is held back is sent before anybody waits for the peer") {
    auto pair = unix_pair();
    BufferedWriter writer{pair.near, 100};
    BufferedReader reader{pair.near};
    pair.far.sendall("answer\n");
    pair.far.shutdown(ShutdownHow::write);
    writer.write("question");
    SECTION("through the reader's lines") { CHECK(reader.readline() == "answer\n"); }
    SECTION("through the reader's bytes") { CHECK(reader.read(6) == "answer"); }
    SECTION("through all that the reader takes") { CHECK(reader.read() == "answer\n"); }
    SECTION("through one receive of the reader") { CHECK(reader.read1() == "answer\n"); }
    SECTION("through a look of the reader") { CHECK(reader.peek() == "answer\n"); }
    SECTION("into the caller's memory") {
        std::string into(10'000, '\0');
        CHECK(reader.readinto(into) == 7);
    }
    SECTION("through the socket") { CHECK(pair.near.recv(100) == "answer\n"); }
    SECTION("through the socket's recvfrom") { CHECK(pair.near.recvfrom(100).first == "answer\n"); }
    CHECK(writer.data().empty());
    CHECK(pair.far.recv(100) == "question");
}

TEST_CASE("what the reader has already is read without sending") {
    auto pair = unix_pair();
    const Sends sends;
    BufferedWriter writer{pair.near, 100};
    BufferedReader reader{pair.near};
    REQUIRE(::send(pair.far.fileno(), "1\n2\n3\n", 6, 0) == 6);
    for (const char* line : {"1\n", "2\n", "3\n"}) {
        CHECK(reader.readline() == line);
        writer.write(line);
    }
    CHECK(sends.all().empty());
    writer.flush();
    CHECK(sends.all() == Texts{"1\n2\n3\n"});
}

TEST_CASE("what is sent past the writer comes after what was written") {
    auto pair = unix_pair();
    BufferedWriter writer{pair.near, 100};
    writer.write("1");
    pair.near.sendall("2");
    writer.write("3");
    pair.near.send("4");
    writer.write("5");
    pair.near.shutdown(ShutdownHow::write);
    CHECK(receive_all(pair.far) == "12345");
}

TEST_CASE("a failing flush is reported once, and nothing is sent twice") {
    auto pair = unix_pair();
    Sends sends;
    BufferedWriter writer{pair.near, 100};
    writer.write("lost");
    sends.fail_with(ENOBUFS);
    SECTION("by flush itself") {
        CHECK(error_of([&] { writer.flush(); }) == ENOBUFS);
    }
    SECTION("by a receive") {
        CHECK(error_of([&] { pair.near.recv(1); }) == ENOBUFS);
    }
    SECTION("by a write that needs room") {
        CHECK(error_of([&] { writer.write(std::string(98, 'x')); }) == ENOBUFS);
    }
    CHECK(writer.data().empty());
    writer.flush();
    writer.write("next");
    writer.flush();
    CHECK(sends.all() == Texts{"lost", "next"});
}

TEST_CASE("a write to a peer that went away") {
    auto pair = unix_pair();
    BufferedWriter writer{pair.near, 100};
    writer.write("x");
    pair.far.close();
    CHECK(error_of([&] { writer.flush(); }) == EPIPE);
    CHECK(pair.near.peer_gone());
}

TEST_CASE("a writer that goes drops what it holds and leaves the socket in order") {
    auto pair = unix_pair();
    {
        BufferedWriter writer{pair.near, 100};
        writer.write("dropped");
        CHECK(pair.near.corked() != nullptr);
    }
    CHECK(pair.near.corked() == nullptr);
    pair.near.sendall("sent");
    CHECK(pair.far.recv(100) == "sent");
}

TEST_CASE("a later writer of the same socket stays in charge") {
    auto pair = unix_pair();
    std::optional<BufferedWriter> first{std::in_place, pair.near, 100};
    BufferedWriter second{pair.near, 100};
    first.reset();
    second.write("x");
    pair.near.sendall("y");
    CHECK(pair.far.recv(100) == "xy");
}

TEST_CASE("a writer in memory collects everything") {
    BufferedWriter writer;
    CHECK(writer.write("one") == 3);
    writer.print(" {}", 2);
    writer.flush();
    CHECK(writer.write(std::string(100'000, 'x')) == 100'000);
    CHECK(writer.data().substr(0, 6) == "one 2x");
    CHECK(writer.data().size() == 100'005);
}

TEST_CASE("print takes any number of arguments, and any length") {
    BufferedWriter writer;
    writer.print("nothing {{}} ");
    const std::string text(2000, 't');
    writer.print("{}{:>4}{}", text, 7, Address{"/a"});
    CHECK((writer.data() == "nothing {} " + text + "   7/a"));
}
