// SPDX-License-Identifier: MIT
// A policy of one's own: a thread for each request, but only so many at a time. Further clients
// wait in the kernel's queue until a thread has ended.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <condition_variable>
#include <mutex>
#include <thread>

namespace ss = socketserver;

// [own_mixin]
template <class Server>
class AtMostMixIn : public ss::Policy {
  public:
    int at_most = 2;

  protected:
    /// Owns the request from here on, and decides where and when serve_request() runs it.
    void dispatch(auto request, ss::Address client_address) {
        const std::lock_guard lock{mutex_};
        std::thread{[this, request = std::move(request), client_address]() mutable {
            auto& server = static_cast<Server&>(*this);
            server.serve_request(request, client_address);
            const std::lock_guard lock_at_end{mutex_};
            --running_;
            server.wake_loop();  // to ask mixin_ready() again
            ended_.notify_all();
        }}.detach();
        ++running_;
    }
    /// Whether the server may take another request now.
    bool mixin_ready() override {
        const std::lock_guard lock{mutex_};
        return running_ < at_most;
    }
    /// The server is being closed.
    void mixin_close(bool wait) override {
        std::unique_lock lock{mutex_};
        if (wait) ended_.wait(lock, [this] { return running_ == 0; });
    }

  private:
    std::mutex mutex_;
    std::condition_variable ended_;
    int running_ = 0;
};
// [own_mixin]

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    ss::TCPServer<EchoHandler, AtMostMixIn> server{{"localhost", port}};
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
