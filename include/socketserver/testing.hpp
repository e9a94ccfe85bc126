// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/server/concepts.hpp"
#include "socketserver/detail/server/default_factory.hpp"
#include "socketserver/request_handler.hpp"
#include "socketserver/server_base.hpp"

/// @file
/// Tests of handlers without a network port: run_handler() gives a handler its input and returns
/// its output.
///
///     #include <socketserver/testing.hpp>
///     assert(socketserver::testing::run_handler<EchoHandler>("line\n") == "line\n");
///
/// The handler runs in the calling thread, from setup() to finish(), on one end of a socket pair.
/// Its exceptions pass to the caller. May be called from any thread. Python has no counterpart.
namespace socketserver {

namespace testing {

/// What a handler gets beside its input.
struct RunOptions {
    /// What client_address() returns.
    Address client_address{"127.0.0.1", 50000};
    /// What server() returns. If it is null, server() throws. The server need not serve. Not owned.
    const ServerBase* server = nullptr;
};

}  // namespace testing

namespace detail {

/// The client of a handler under test: it sends all of its input, then ends its side. Meanwhile a
/// thread of its own collects the output of the handler, so that there is no deadlock.
///
/// The input must outlive the object. The destructor closes the connection.
class SOCKETSERVER_EXPORT TestClient {
  public:
    /// @throws std::system_error if no socket pair, or no thread, can be made.
    explicit TestClient(std::string_view input);
    TestClient(const TestClient&) = delete;
    TestClient& operator=(const TestClient&) = delete;
    ~TestClient();

    /// The handler's end.
    Socket& request() noexcept;
    /// Closes the handler's end and returns everything that the handler wrote.
    std::string output();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The same for one datagram.
class SOCKETSERVER_EXPORT TestDatagramClient {
  public:
    /// @throws std::system_error if no socket pair can be made.
    explicit TestDatagramClient(std::string_view datagram);

    Datagram& request() noexcept { return request_; }
    /// The first datagram that was sent back.
    std::optional<std::string> reply();

  private:
    Socket client_;
    Datagram request_;
};

template <class Factory, class Handler>
concept makes = requires(Factory& factory) {
    { factory() } -> std::same_as<Handler>;
};

template <class Handler>
void run(auto& client, auto&& factory, const testing::RunOptions& options) {
    Handler handler = factory();
    HandlerAccess::run(handler, client.request(), options.client_address, options.server);
}

}  // namespace detail

namespace testing {

/// Runs a stream handler, made by `factory`, that reads `input` and then the end of the stream.
/// Returns its output. Input and output may have any size.
template <detail::stream_handler Handler, detail::makes<Handler> Factory>
std::string run_handler(std::string_view input, Factory&& factory, const RunOptions& options = {}) {
    detail::TestClient client{input};
    detail::run<Handler>(client, factory, options);
    return client.output();
}

/// Runs a datagram handler for one datagram. Returns the first datagram that it sent back, or
/// nothing if it sent none. The reply is returned whatever the client's address is.
template <detail::datagram_handler Handler, detail::makes<Handler> Factory>
std::optional<std::string> run_handler(std::string_view datagram, Factory&& factory,
                                       const RunOptions& options = {}) {
    detail::TestDatagramClient client{datagram};
    detail::run<Handler>(client, factory, options);
    return client.reply();
}

/// The two functions above, for a handler that needs no factory: `run_handler<Handler>("hi",
/// {.server = &server})`.
template <class Handler>
auto run_handler(std::string_view input, const RunOptions& options = {}) {
    return run_handler<Handler>(input, detail::default_factory<Handler>(), options);
}

}  // namespace testing
}  // namespace socketserver
