// SPDX-License-Identifier: MIT
#include "fiber/blocking_pool.hpp"

#include <exception>
#include <memory>

#include "socketserver/detail/blocking_io.hpp"

namespace socketserver::detail {

namespace {

/// What fiber and thread have in common. On the stack of the fiber, which waits for `done`.
struct Call {
    const std::function<void()>& work;
    const Current caller;
    std::exception_ptr error{};
    std::mutex mutex{};
    WaitList waiting{};
    bool done = false;
};

class CallJob final : public Job {
  public:
    explicit CallJob(Call& call) : call_{call} {}
    void run() override {
        // What the fiber may ask a server for, it may ask for here: shutdown() must not wait for
        // the handler that calls it.
        current().serving = call_.caller.serving;
        current().request = call_.caller.request;
        try {
            call_.work();
        } catch (...) {
            call_.error = std::current_exception();
        }
        current() = {};
        const std::lock_guard lock{call_.mutex};
        call_.done = true;
        call_.waiting.unpark_one();
    }

  private:
    Call& call_;
};

}  // namespace

void BlockingPool::run(const std::function<void()>& work) {
    begin();
    struct End {
        BlockingPool& pool;
        ~End() { pool.end(); }
    } const at_end{*this};

    Call call{work, current()};
    std::unique_ptr<Job> job = std::make_unique<CallJob>(call);
    threads_.run(job, false);
    std::unique_lock lock{call.mutex};
    while (!call.done) call.waiting.park(lock, never, false);
    if (call.error) std::rethrow_exception(call.error);
}

void BlockingPool::begin() {
    std::unique_lock lock{mutex_};
    if (running_ < most_at_once) {
        ++running_;
    } else {
        waiting_.park(lock, never, false);  // whoever ends hands its place over
    }
}

void BlockingPool::end() {
    const std::lock_guard lock{mutex_};
    if (!waiting_.unpark_one()) --running_;
}

}  // namespace socketserver::detail
