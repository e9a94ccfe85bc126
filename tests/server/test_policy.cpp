// SPDX-License-Identifier: MIT
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "socketserver/detail/os/waker.hpp"
#include "socketserver/policy.hpp"
#include "support/catch.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// What the server has asked of a policy, and how often.
class Calls {
  public:
    void add(const std::string& call) {
        const std::lock_guard lock{mutex_};
        ++counts_[call];
    }
    int count(const std::string& call) const {
        const std::lock_guard lock{mutex_};
        const auto found = counts_.find(call);
        return found == counts_.end() ? 0 : found->second;
    }

  private:
    mutable std::mutex mutex_;
    std::map<std::string, int> counts_;
};

/// A thread for each request. Overrides every hook, as private functions, and derives from Policy
/// through another class.
class Recording : public Policy {
  public:
    Calls calls;
    std::atomic<bool> ready{true};
    std::atomic<Admission> answer{Admission::take};
    std::atomic<bool> has_ended{true};
    std::atomic<detail::TimePoint> service_at{detail::never};
    detail::Waker waker;

  private:
    void mixin_serve(const std::function<void()>& loop, bool is_forever) override {
        calls.add(is_forever ? "serve for ever" : "serve one");
        loop();
    }
    bool mixin_ready() override { return ready; }
    Admission mixin_takes() override { return answer; }
    int mixin_fileno() override { return waker.fileno(); }
    detail::TimePoint mixin_service_at() override { return service_at; }
    void mixin_service() override {
        waker.reset();
        service_at = detail::never;
        calls.add("service");
    }
    void mixin_statistics(Statistics& statistics) const override { statistics.threads += 17; }
    void mixin_drain() override { calls.add("drain"); }
    void mixin_cancel(bool kill) override {
        calls.add(kill ? "kill" : "cancel");
        if (kill) has_ended = true;
    }
    bool mixin_ended() override { return has_ended; }
};

template <class Server>
class RecordingMixIn : public Recording {
  protected:
    void dispatch(auto request, Address client_address) {
        threads_.emplace_back([this, request = std::move(request), client_address]() mutable {
            static_cast<Server&>(*this).serve_request(request, client_address);
        });
    }

  private:
    void mixin_close(bool wait) override {
        calls.add(wait ? "close and wait" : "close");
        if (wait) threads_.clear();
    }
    std::vector<std::jthread> threads_;
};

/// The shortest policy: it derives from nothing.
template <class Server>
class InlineMixIn {
  protected:
    void dispatch(auto request, Address client_address) {
        static_cast<Server&>(*this).serve_request(request, client_address);
    }
};

/// Keeps a drain from ending until it is told that it may.
template <class Server>
class PatientMixIn : public Policy {
  public:
    const std::atomic<bool>* may_end = nullptr;

  protected:
    void dispatch(auto request, Address client_address) {
        static_cast<Server&>(*this).serve_request(request, client_address);
    }
    bool mixin_ended() override { return *may_end; }
};

class RecordedServer : public TCPServer<StreamEcho, RecordingMixIn> {
  public:
    RecordedServer() : TCPServer{any_port} {}
    ~RecordedServer() override { server_close(); }  // it overrides a hook
    std::atomic<int> refused{0};

  private:
    void refuse_request(Socket& request, const Address&, RefuseCause cause) override {
        request.sendall("full\n");
        if (cause == RefuseCause::policy_full) ++refused;
    }
};

}  // namespace

TEST_CASE("policy: mixin_serve() runs the loop and knows which one it is") {
    const TimeLimit limit;
    RecordedServer server;
    ServingThread serving{server};
    CHECK(ask(server.server_address(), "hello\n") == "hello\n");
    serving.stop();
    CHECK(server.calls.count("serve for ever") == 1);
    CHECK(server.calls.count("serve one") == 0);

    Socket client = connect(server.server_address());
    server.handle_request();
    CHECK(server.calls.count("serve one") == 1);
}

TEST_CASE("policy: a client waits until the policy is ready, and its descriptor wakes the loop") {
    const TimeLimit limit;
    RecordedServer server;
    server.ready = false;
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    client.sendall("hello\n");
    client.settimeout(50ms);
    CHECK_THROWS_AS(client.recv(64), TimeoutError);
    CHECK(server.statistics().accepted == 0);

    server.ready = true;
    server.waker.wake();
    client.settimeout(patience);
    CHECK(client.recv(64) == "hello\n");
    CHECK(server.calls.count("service") > 0);
}

TEST_CASE("policy: mixin_service() is called at the time that the policy says") {
    const TimeLimit limit;
    RecordedServer server;
    server.service_at = detail::Clock::now() + 20ms;
    ServingThread serving{server};
    CHECK(eventually([&] { return server.calls.count("service") > 0; }));
    CHECK(server.service_at.load() == detail::never);
}

TEST_CASE("policy: a request that is not taken is refused and closed") {
    const TimeLimit limit;
    RecordedServer server;
    server.answer = Admission::close;
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(read_to_end(client) == "full\n");
    CHECK(eventually([&] { return server.statistics().refused(RefuseCause::policy_full) == 1; }));
    CHECK(server.refused == 1);
}

TEST_CASE("policy: a request that is not taken may be reset") {
    const TimeLimit limit;
    RecordedServer server;
    server.answer = Admission::reset;
    ServingThread serving{server};
    // The reset may come while connect() still looks whether it is connected.
    const auto read_to_reset = [&] {
        Socket client = connect(server.server_address());
        while (!client.recv(64).empty()) {
        }
    };
    CHECK_THROWS_WITH(read_to_reset(), Catch::Matchers::ContainsSubstring("reset by peer"));
    CHECK(eventually([&] { return server.statistics().refused(RefuseCause::policy_full) == 1; }));
    CHECK(server.refused == 1);
}

TEST_CASE("policy: it adds to the statistics") {
    RecordedServer server;
    CHECK(server.statistics().threads == 17);
}

TEST_CASE("policy: a drain tells it each step, and waits until it has ended") {
    const TimeLimit limit;
    RecordedServer server;
    server.has_ended = false;
    ServingThread serving{server};
    CHECK(server.drain(50ms).remaining == 0);
    CHECK(server.calls.count("drain") > 0);
    CHECK(server.calls.count("cancel") == 1);
    CHECK(server.calls.count("kill") == 1);
    CHECK(server.calls.count("close and wait") == 1);
}

TEST_CASE("policy: server_close() in a handler does not wait for the policy") {
    const TimeLimit limit;
    class Closing : public StreamRequestHandler {
        void handle() override { server().server_close(); }
    };
    TCPServer<Closing, RecordingMixIn> server{any_port};
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    serving.join();
    CHECK(eventually([&] { return server.calls.count("close") == 1; }));
    server.server_close();
    CHECK(server.calls.count("close and wait") == 1);
}

TEST_CASE("policy: one that has dispatch() alone serves") {
    const TimeLimit limit;
    TCPServer<StreamEcho, InlineMixIn> server{any_port};
    const ServingThread serving{server};
    CHECK(ask(server.server_address(), "hello\n") == "hello\n");
    CHECK(server.statistics().threads == 0);
}

TEST_CASE("policy: one that has dispatch() alone serves in worker processes") {
    const TimeLimit limit;
    TCPServer<StreamEcho, PreforkOf<InlineMixIn>::MixIn> server{any_port};
    server.workers = 2;
    const ServingThread serving{server};
    CHECK(ask(server.server_address(), "hello\n") == "hello\n");
    CHECK(eventually([&] { return server.statistics().children == 2; }));
    CHECK(server.drain(patience).remaining == 0);
}

TEST_CASE("policy: a drain waits for it in worker processes as well") {
    const TimeLimit limit;
    const Shared<std::atomic<bool>> may_end;
    TCPServer<StreamEcho, PreforkOf<PatientMixIn>::MixIn> server{any_port};
    server.workers = 1;
    server.may_end = &*may_end;
    ServingThread serving{server, 10ms};
    REQUIRE(has_workers(server, 1));
    auto report = std::async(std::launch::async, [&] { return server.drain(patience); });
    CHECK(report.wait_for(300ms) == std::future_status::timeout);
    CHECK(server.statistics().children == 1);

    *may_end = true;
    CHECK(report.get().remaining == 0);
    CHECK(server.statistics().children == 0);
}
