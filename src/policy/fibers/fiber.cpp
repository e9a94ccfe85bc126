// SPDX-License-Identifier: MIT
#include "socketserver/fiber.hpp"

#include <exception>
#include <mutex>
#include <thread>

#include "policy/fibers/scheduler.hpp"
#include "socketserver/detail/os/forced_unwind.hpp"
#include "socketserver/detail/policy/fibers/wait_list.hpp"

namespace socketserver {

struct Fiber::State {
    explicit State(std::function<void()> to_run) : function{std::move(to_run)} {}

    std::function<void()> function;
    std::exception_ptr error{};
    std::mutex mutex{};
    detail::WaitList waiting{};
    bool done = false;
    std::thread thread{};  // used if the function runs in a thread

    void run() {
        const End at_end{*this};
        try {
            std::exchange(function, nullptr)();
        } catch (...) {
            detail::rethrow_forced_unwind();  // pthread_exit()
            error = std::current_exception();
        }
    }

    struct End {
        State& state;
        ~End() {
            const std::lock_guard lock{state.mutex};
            state.done = true;
            state.waiting.unpark_one();
        }
    };
};

namespace {

/// A fiber that another fiber has made. It belongs to the same request.
template <class State>
class Sibling final : public detail::RequestJob {
  public:
    Sibling(std::shared_ptr<State> state, const Address& client_address)
        : state_{std::move(state)}, client_address_{client_address} {}
    void run() override { state_->run(); }
    void fail(std::exception_ptr) override {}
    const Address& client_address() const noexcept override { return client_address_; }

  private:
    std::shared_ptr<State> state_;
    Address client_address_;
};

}  // namespace

Fiber::Fiber() noexcept = default;
Fiber::Fiber(Fiber&& other) noexcept = default;

Fiber& Fiber::operator=(Fiber&& other) noexcept {
    std::swap(state_, other.state_);
    Fiber former{std::move(other)};
    return *this;
}

Fiber::Fiber(std::function<void()> function)
    : state_{std::make_shared<State>(std::move(function))} {
    if (detail::Scheduler* scheduler = detail::Scheduler::here()) {
        const auto* request = scheduler->running().request.get();
        std::unique_ptr<detail::RequestJob> sibling = std::make_unique<Sibling<State>>(
            state_, request != nullptr ? request->client_address() : Address{});
        scheduler->add_load();
        try {
            scheduler->spawn(sibling);
        } catch (...) {
            scheduler->take_load();
            throw;
        }
    } else {
        state_->thread = std::thread{[state = state_.get()] { state->run(); }};
    }
}

Fiber::~Fiber() {
    if (!joinable()) return;
    try {
        join();
    } catch (...) {
        // Nobody called join(), so the exception is dropped.
    }
}

void Fiber::join() {
    const std::shared_ptr<State> state = std::exchange(state_, nullptr);
    if (state->thread.joinable()) {
        state->thread.join();
    } else {
        std::unique_lock lock{state->mutex};
        while (!state->done) state->waiting.park(lock, detail::never, false);
    }
    if (state->error) std::rethrow_exception(state->error);
}

}  // namespace socketserver
