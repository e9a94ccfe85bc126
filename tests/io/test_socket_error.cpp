// SPDX-License-Identifier: MIT
// The error of a system call is the one that is told, whatever putting its text together does to
// errno.
#include <cerrno>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>

#include <sys/socket.h>

#include "socketserver/detail/os/waker.hpp"
#include "socketserver/socketserver.hpp"
#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/replaced_new.hpp"
#include "support/scripted_sys.hpp"

namespace {

/// While one lives, every allocation of this thread leaves another errno behind, as malloc(3) may.
class SpoiledErrno {
  public:
    SpoiledErrno() { is_spoiled = true; }
    SpoiledErrno(const SpoiledErrno&) = delete;
    SpoiledErrno& operator=(const SpoiledErrno&) = delete;
    ~SpoiledErrno() { is_spoiled = false; }

    static inline thread_local bool is_spoiled = false;
};

}  // namespace

void* socketserver::tests::allocate(std::size_t size) noexcept {
    void* memory = std::malloc(size);
    if (SpoiledErrno::is_spoiled) errno = EXFULL;
    return memory;
}

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::ContainsSubstring;

namespace {

int spoiled_error_of(const std::function<void()>& operation) {
    const SpoiledErrno spoiled;
    return error_of(operation);
}

/// Longer than a string that needs no memory.
const std::string long_name = "/no/such/folder/with/a/long/name/socket";

class Echo : public StreamRequestHandler {
    void handle() override {}
};

}  // namespace

TEST_CASE("errors with an address") {
    const Address nowhere{long_name};
    CHECK(spoiled_error_of([&] {
              const Scripted<&Calls::socket> socket{[](auto...) { return fail(EMFILE); }};
              const Socket none{nowhere, SocketType::stream};
          }) == EMFILE);
    Socket stream{nowhere, SocketType::stream};
    CHECK(spoiled_error_of([&] { stream.connect(nowhere); }) == ENOENT);
    CHECK(spoiled_error_of([&] { stream.bind(nowhere); }) == ENOENT);
    Socket datagram{nowhere, SocketType::datagram};
    CHECK(spoiled_error_of([&] { datagram.sendto("x", nowhere); }) == ENOENT);
    CHECK_THAT(text_of([&] { datagram.sendto("x", nowhere); }),
               ContainsSubstring("sendto " + nowhere.to_string() + ": "));
    CHECK_THAT(text_of([&] { stream.connect(nowhere); }),
               ContainsSubstring("connect to " + nowhere.to_string() + ": "));
}

TEST_CASE("errors with a text alone") {
    const Scripted<&Calls::eventfd> eventfd{[](auto...) { return fail(ENFILE); }};
    CHECK(spoiled_error_of([] { const detail::Waker waker; }) == ENFILE);
}

TEST_CASE("errors of options") {
    CHECK(spoiled_error_of([] { const TCPServer<Echo> server{Socket{-1}}; }) == EBADF);
    CHECK(spoiled_error_of([] { const UnixStreamServer<Echo> server{Address{long_name}}; }) ==
          ENOENT);
}
