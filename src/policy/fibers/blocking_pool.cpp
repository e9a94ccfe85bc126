// SPDX-License-Identifier: MIT
#include "policy/fibers/blocking_pool.hpp"

#include <pthread.h>

#include <exception>
#include <memory>

#include "policy/fibers/fiber.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/os/forced_unwind.hpp"

namespace socketserver::detail {

namespace {

/// The data that the fiber and the thread share. It is on the stack of the fiber, which waits for
/// `done`.
struct Call {
    const std::function<void()>& work;
    const Current caller;
    const ExceptionState exceptions;  // the exceptions that the caller is handling
    std::exception_ptr error{};
    std::mutex mutex{};
    WaitList waiting{};
    bool done = false;
    bool ended_thread = false;  // by pthread_exit()
};

class CallJob final : public Job {
  public:
    explicit CallJob(Call& call) : call_{call} {}
    void run() override {
        const End at_end{call_};
        // The thread takes over the marks and the current exceptions of the fiber. So shutdown(),
        // for example, does not wait for the handler that calls it here.
        current().serving = call_.caller.serving;
        current().request = call_.caller.request;
        ExceptionState::of_this_thread() = call_.exceptions;
        call_.ended_thread = true;
        try {
            call_.work();
        } catch (...) {
            rethrow_forced_unwind();
            call_.error = std::current_exception();
        }
        call_.ended_thread = false;
    }

  private:
    struct End {
        Call& call;
        ~End() {
            ExceptionState::of_this_thread() = {};
            current() = {};
            const std::lock_guard lock{call.mutex};
            call.done = true;
            call.waiting.unpark_one();
        }
    };

    Call& call_;
};

}  // namespace

void BlockingPool::run(const std::function<void()>& work) {
    begin();
    struct End {
        BlockingPool& pool;
        ~End() { pool.end(); }
    } const at_end{*this};

    Call call{work, current(), ExceptionState::of_this_thread()};
    std::unique_ptr<Job> job = std::make_unique<CallJob>(call);
    threads_.run(job);
    std::unique_lock lock{call.mutex};
    while (!call.done) call.waiting.park(lock, never, false);
    lock.unlock();
    if (call.ended_thread) ::pthread_exit(nullptr);  // ends the fiber: Scheduler::fiber_main()
    if (call.error) std::rethrow_exception(call.error);
}

void BlockingPool::begin() {
    std::unique_lock lock{mutex_};
    if (running_ < most_at_once) {
        ++running_;
    } else {
        waiting_.park(lock, never, false);  // a call that ends passes its place on
    }
}

void BlockingPool::end() {
    const std::lock_guard lock{mutex_};
    if (!waiting_.unpark_one()) --running_;
}

}  // namespace socketserver::detail
