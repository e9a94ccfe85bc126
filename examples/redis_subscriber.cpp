// SPDX-License-Identifier: MIT
// Passes the messages of a channel of Redis on, by a library that knows nothing of this one:
// redis_subscriber <port of Redis> [own port]. A client sends the name of the channel, and gets the
// messages until it goes or sends another line. Try: redis-cli publish news hello
#include <fmt/format.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <socketserver/socketserver.hpp>

#include <chrono>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ss = socketserver;

#ifndef POLICY
#    define POLICY ThreadingMixIn  // the tests build this program with another one, too
#endif

/// A subscription to a channel. hiredis says when it wants to read and write, and does so when it
/// is told that it can.
class Subscription {
  public:
    Subscription(int port, const std::string& channel)
        : redis_{redisAsyncConnect("127.0.0.1", port)} {
        if (redis_ == nullptr) throw std::bad_alloc();
        redis_->ev.data = this;
        redis_->ev.addRead = [](void* self) { of(self).reads_ = true; };
        redis_->ev.delRead = [](void* self) { of(self).reads_ = false; };
        redis_->ev.addWrite = [](void* self) { of(self).writes_ = true; };
        redis_->ev.delWrite = [](void* self) { of(self).writes_ = false; };
        redis_->data = this;
        redisAsyncSetConnectCallback(redis_, [](const redisAsyncContext* redis, int status) {
            if (status != REDIS_OK) of(redis->data).fail(redis->errstr);
        });
        redisAsyncSetDisconnectCallback(redis_, [](const redisAsyncContext* redis, int) {
            of(redis->data).fail("Redis has ended the connection");
        });
        redisAsyncCommand(redis_, on_reply, this, "SUBSCRIBE %s", channel.c_str());
    }
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;
    ~Subscription() {
        if (redis_ != nullptr) redisAsyncFree(redis_);
    }

    ss::Selectable input() const { return reads_ ? ss::readable(redis_->c.fd) : ss::Selectable{}; }
    ss::Selectable output() const {
        return writes_ ? ss::writable(redis_->c.fd) : ss::Selectable{};
    }
    void read() { redisAsyncHandleRead(redis_); }
    void write() { redisAsyncHandleWrite(redis_); }

    /// What has come since the last call.
    std::vector<std::string> take_messages() {
        if (!error_.empty()) throw std::runtime_error(error_);
        return std::exchange(messages_, {});
    }

  private:
    static Subscription& of(void* self) { return *static_cast<Subscription*>(self); }
    // Called by hiredis, which is C: no exception may leave it, so it must not write to the client.
    static void on_reply(redisAsyncContext*, void* reply, void* self) noexcept {
        const auto* const parts = static_cast<const redisReply*>(reply);
        if (parts == nullptr || parts->type != REDIS_REPLY_ARRAY || parts->elements != 3) return;
        const redisReply& kind = *parts->element[0];
        const redisReply& text = *parts->element[2];
        if (std::string_view{kind.str, kind.len} != "message") return;
        of(self).messages_.emplace_back(text.str, text.len);
    }
    void fail(const char* error) {
        error_ = error;
        redis_ = nullptr;  // hiredis frees it
        reads_ = writes_ = false;
    }

    redisAsyncContext* redis_;
    bool reads_ = false;
    bool writes_ = false;
    std::string error_;
    std::vector<std::string> messages_;
};

// [subscriber]
class SubscriberHandler : public ss::StreamRequestHandler {
  public:
    explicit SubscriberHandler(int redis_port) : redis_port_{redis_port} {}

  private:
    void handle() override {
        const auto channel = rfile().next_line(100);
        if (!channel) return;
        Subscription subscription{redis_port_, std::string{channel->text}};
        for (;;) {
            const auto ready = ss::select({rfile(), subscription.input(), subscription.output()});
            if (ready[0]) return;  // the client has gone, or wants no more
            if (ready[1]) subscription.read();
            if (ready[2]) subscription.write();
            for (const std::string& message : subscription.take_messages()) {
                wfile().print("{}\n", message);
            }
        }
    }

    int redis_port_;
};
// [subscriber]

int main(int argc, char** argv) {
    if (argc < 2) {
        fmt::print(stderr, "usage: redis_subscriber <port of Redis> [own port]\n");
        return 2;
    }
    const int redis_port = ss::parse_port(argv[1]);
    ss::TCPServer<SubscriberHandler, ss::POLICY> server{
        {"localhost", argc > 2 ? ss::parse_port(argv[2]) : 9999}, {}, [&] {
            return SubscriberHandler{redis_port};
        }};
    const ss::ShutdownOnSignal signals{server, ss::DrainFor{std::chrono::seconds{5}}};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
