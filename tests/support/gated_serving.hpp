// SPDX-License-Identifier: MIT
// A pool whose handlers wait until the test lets them go on.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <thread>

#include "support/serving.hpp"

namespace socketserver::tests {

/// Holds handlers until the test lets them go.
class Gate {
  public:
    void pass() {
        std::unique_lock lock{mutex_};
        ++arrived_;
        most_ = std::max(most_, ++inside_);
        threads_.insert(std::this_thread::get_id());
        changed_.notify_all();
        changed_.wait_for(lock, patience, [this] { return open_ || permits_ > 0; });
        if (!open_) --permits_;
        --inside_;
    }
    void open() {
        const std::lock_guard lock{mutex_};
        open_ = true;
        changed_.notify_all();
    }
    void let_one_pass() {
        const std::lock_guard lock{mutex_};
        ++permits_;
        changed_.notify_all();
    }
    bool wait_for_arrivals(int count) {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, patience, [&] { return arrived_ >= count; });
    }
    int arrived() const {
        const std::lock_guard lock{mutex_};
        return arrived_;
    }
    int most_at_once() const {
        const std::lock_guard lock{mutex_};
        return most_;
    }
    std::size_t threads() const {
        const std::lock_guard lock{mutex_};
        return threads_.size();
    }

  private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::set<std::thread::id> threads_;
    bool open_ = false;
    int permits_ = 0;
    int arrived_ = 0;
    int inside_ = 0;
    int most_ = 0;
};

/// Echoes a line when the gate lets it.
class GatedHandler : public StreamRequestHandler {
  public:
    explicit GatedHandler(Gate& gate) : gate_{gate} {}

  private:
    void handle() override {
        gate_.pass();
        wfile().write(rfile().readline());
    }
    Gate& gate_;
};

class GatedServer : public ThreadPoolTCPServer<GatedHandler> {
  public:
    explicit GatedServer(Gate& gate)
        : ThreadPoolTCPServer<GatedHandler>{any_port, {}, [&gate] { return GatedHandler{gate}; }},
          gate_{gate} {}
    GatedServer(const GatedServer&) = delete;
    GatedServer& operator=(const GatedServer&) = delete;
    ~GatedServer() override {
        gate_.open();  // a test that failed holds no handler
        server_close();
    }

    std::atomic<int> accepted{0};
    std::atomic<int> refused{0};  // because the pool was full
    std::atomic<int> opened{0};
    std::atomic<int> closed{0};
    std::atomic<int> errors{0};
    std::atomic<int> last_error{0};

  private:
    bool verify_request(const Socket&, const Address&) override {
        ++accepted;
        return true;
    }
    void refuse_request(Socket&, const Address&, RefuseCause cause) override {
        if (cause == RefuseCause::policy_full) ++refused;
    }
    void connection_opened(const Address&) override { ++opened; }
    void connection_closed(const Address&, CloseReason, std::chrono::nanoseconds) override {
        ++closed;
    }
    void handle_error(Socket&, const Address&, std::exception_ptr error) override {
        try {
            std::rethrow_exception(error);
        } catch (const std::system_error& failure) {
            last_error = failure.code().value();
        } catch (...) {
            last_error = -1;
        }
        ++errors;
    }

    Gate& gate_;
};

/// A client that has sent its line and waits for the answer.
inline Socket asking_client(const ServerBase& server, const std::string& line) {
    Socket client = connect(server.server_address());
    client.sendall(line);
    return client;
}

}  // namespace socketserver::tests
