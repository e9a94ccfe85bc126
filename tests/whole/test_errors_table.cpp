// SPDX-License-Identifier: MIT
// What an exception from each hook costs, under each policy: one call of handle_error(), one
// shutdown_request(), one close_request(), and the next request is served.
#include <atomic>
#include <stdexcept>
#include <string>
#include <utility>

#include <unistd.h>

#include "support/catch.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

enum class Hook : int {
    none,
    get_request,
    verify_request,
    process_request,
    prepare_request,
    handler_constructor,
    factory,
    setup,
    handle,
    finish,
    handle_and_finish,
    handle_error,
    shutdown_request,
    close_request,
    service_actions,
};

/// Shared with forked children, whose calls count as well.
struct Calls {
    std::atomic<Hook> failing{Hook::none};
    std::atomic<int> failures_left{0};
    std::atomic<int> handle_error{0};
    std::atomic<int> server_error{0};
    std::atomic<int> shutdown_request{0};
    std::atomic<int> close_request{0};
    std::atomic<int> finish{0};
    std::atomic<int> forked{0};
    std::atomic<bool> finish_error_seen{false};

    void fail_in(Hook hook) {
        if (failing == hook && failures_left.fetch_sub(1) > 0) throw std::runtime_error("planned");
    }
};
Calls* calls = nullptr;  // of the running test

class TableHandler : public StreamRequestHandler {
  public:
    TableHandler() { calls->fail_in(Hook::handler_constructor); }

  private:
    void setup() override {
        calls->fail_in(Hook::setup);
        StreamRequestHandler::setup();
    }
    void handle() override {
        calls->fail_in(Hook::handle);
        if (calls->failing == Hook::handle_error) throw std::runtime_error("for handle_error()");
        calls->fail_in(Hook::handle_and_finish);
        wfile().write(rfile().readline());
    }
    void finish() override {
        ++calls->finish;
        StreamRequestHandler::finish();
        if (calls->failing == Hook::handle_and_finish && handle_failed()) {
            throw std::runtime_error("finish() as well");
        }
        calls->fail_in(Hook::finish);
    }
};

template <template <class> class MixIn>
class TableServer : public TCPServer<TableHandler, MixIn> {
    using Base = TCPServer<TableHandler, MixIn>;

  public:
    TableServer()
        : Base{{"127.0.0.1", 0}, {}, [] {
                   calls->fail_in(Hook::factory);
                   return TableHandler{};
               }} {}
    ~TableServer() override { this->server_close(); }

  protected:
    std::optional<std::pair<Socket, Address>> get_request() override {
        calls->fail_in(Hook::get_request);
        return Base::get_request();
    }
    bool verify_request(const Socket&, const Address&) override {
        calls->fail_in(Hook::verify_request);
        return true;
    }
    void process_request(Socket&& request, const Address& client_address) override {
        calls->fail_in(Hook::process_request);
        if constexpr (requires { this->active_children(); }) ++calls->forked;
        Base::process_request(std::move(request), client_address);
    }
    void prepare_request(Socket&, Address&) override { calls->fail_in(Hook::prepare_request); }
    void handle_error(Socket&, const Address&, std::exception_ptr error) override {
        ++calls->handle_error;
        try {
            std::rethrow_exception(error);
        } catch (const FinishError&) {
            calls->finish_error_seen = true;
        } catch (const std::runtime_error&) {
        }
        calls->fail_in(Hook::handle_error);
    }
    void shutdown_request(Socket& request) override {
        ++calls->shutdown_request;
        calls->fail_in(Hook::shutdown_request);
        Base::shutdown_request(request);
    }
    void close_request(Socket& request) override {
        ++calls->close_request;
        calls->fail_in(Hook::close_request);
        Base::close_request(request);
    }
    void service_actions() override { calls->fail_in(Hook::service_actions); }
    void handle_server_error(std::exception_ptr) override { ++calls->server_error; }
};

/// What one failure must have led to, beside a second request that was served.
struct Expected {
    int handle_error = 1;
    int server_error = 0;
    bool first_is_answered = false;
};

Expected expected_of(Hook hook) {
    switch (hook) {
        case Hook::none:
            return {0, 0, true};
        case Hook::get_request:      // there is no request yet: the client is served after all
        case Hook::service_actions:  // belongs to no request
            return {0, 1, true};
        case Hook::handle_error:
            return {1, 1, false};
        case Hook::finish:
        case Hook::shutdown_request:
        case Hook::close_request:
            return {1, 0, true};
        default:
            return {1, 0, false};
    }
}

template <template <class> class MixIn>
void check_hook(Hook hook) {
    CAPTURE(static_cast<int>(hook));
    const Shared<Calls> shared;
    calls = &*shared;
    const Expected expected = expected_of(hook);
    calls->failing = hook;
    calls->failures_left = 1;
    {
        TableServer<MixIn> server;
        ServingThread serving{server};
        Socket first = connect(server.server_address());
        try {
            first.sendall("first\n");
        } catch (const std::system_error&) {
            // The server had closed the connection already.
        }
        CHECK(read_to_end(first) == (expected.first_is_answered ? "first\n" : ""));
        if (hook == Hook::handle_error) calls->failing = Hook::none;
        CHECK(ask(server.server_address(), "second\n") == "second\n");
        serving.stop();
        CHECK_FALSE(serving.error());
    }
    CHECK(calls->failures_left <= (hook == Hook::none ? 1 : 0));
    CHECK(calls->handle_error == expected.handle_error);
    CHECK(calls->server_error == expected.server_error);
    CHECK(calls->shutdown_request == 2);
    // The parent of a forking server closes its copy of each request. A shutdown_request() that
    // throws first does not come to call close_request(); the connection is closed all the same.
    const int not_reached = hook == Hook::shutdown_request ? 1 : 0;
    CHECK(calls->close_request == 2 - not_reached + calls->forked);
    CHECK(calls->finish_error_seen == (hook == Hook::handle_and_finish));
    const bool first_had_no_finish = expected.handle_error == 1 && !expected.first_is_answered &&
                                     hook != Hook::handle && hook != Hook::handle_and_finish &&
                                     hook != Hook::handle_error;
    CHECK(calls->finish == (first_had_no_finish ? 1 : 2));
    calls = nullptr;
}

template <template <class> class MixIn>
void check_every_hook() {
    const TimeLimit limit;
    for (int hook = 0; hook <= static_cast<int>(Hook::service_actions); ++hook) {
        check_hook<MixIn>(static_cast<Hook>(hook));
    }
}

}  // namespace

TEST_CASE("an exception from each hook under SynchronousMixIn") {
    check_every_hook<SynchronousMixIn>();
}
TEST_CASE("an exception from each hook under ThreadingMixIn") {
    check_every_hook<ThreadingMixIn>();
}
TEST_CASE("an exception from each hook under ForkingMixIn") { check_every_hook<ForkingMixIn>(); }
TEST_CASE("an exception from each hook under ThreadPoolMixIn") {
    check_every_hook<ThreadPoolMixIn>();
}
TEST_CASE("an exception from each hook under PreforkMixIn") { check_every_hook<PreforkMixIn>(); }
#ifdef SOCKETSERVER_TEST_FIBER
TEST_CASE("an exception from each hook under FiberMixIn") { check_every_hook<FiberMixIn>(); }
#endif

namespace {

class TimeoutServer : public TCPServer<StreamEcho> {
  public:
    TimeoutServer() : TCPServer{{"127.0.0.1", 0}, {.timeout = std::chrono::milliseconds{0}}} {}

  protected:
    void handle_timeout() override { throw std::runtime_error("planned"); }
};

class AcceptErrorServer : public TCPServer<StreamEcho> {
  public:
    AcceptErrorServer() : TCPServer{{"127.0.0.1", 0}} {}
    int server_errors = 0;

  protected:
    std::optional<std::pair<Socket, Address>> get_request() override {
        if (std::exchange(fails_, false)) {
            throw std::system_error(std::make_error_code(std::errc::connection_aborted), "accept");
        }
        return TCPServer::get_request();
    }
    void handle_accept_error(const std::system_error&) override {
        throw std::runtime_error("planned");
    }
    void handle_server_error(std::exception_ptr) override { ++server_errors; }

  private:
    bool fails_ = true;
};

}  // namespace

TEST_CASE("an exception from handle_timeout() reaches the caller of handle_request()") {
    const TimeLimit limit;
    TimeoutServer server;
    CHECK_THROWS_WITH(server.handle_request(), "planned");
    ServingThread serving{server};
    CHECK(ask(server.server_address(), "x\n") == "x\n");
}

TEST_CASE("an exception from handle_accept_error() does not end serving") {
    const TimeLimit limit;
    AcceptErrorServer server;
    {
        ServingThread serving{server};
        CHECK(ask(server.server_address(), "x\n") == "x\n");
        serving.stop();
        CHECK_FALSE(serving.error());
    }
    CHECK(server.server_errors == 1);
}
