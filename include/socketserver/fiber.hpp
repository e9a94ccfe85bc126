// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "socketserver/detail/export.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/os/clock.hpp"
#include "socketserver/fiber_sync.hpp"

/// @file
/// Functions for handlers under FiberMixIn that wait without delaying the other fibers of their
/// worker. Outside of a fiber each of them blocks the calling thread, so a handler that uses them
/// runs under every policy. A program that uses them links `socketserver::fiber`.
namespace socketserver {

/// Does what std::this_thread::sleep_for() does.
///
/// @throws Cancelled in a fiber whose server is being stopped.
inline void sleep_for(std::chrono::nanoseconds time) {
    detail::sleep_until(detail::deadline_after(time));
}

/// Lets the other fibers of this worker run that are ready. For loops that compute for a long time.
inline void yield() { detail::yield(); }

/// Calls `function` in a thread where it may block, and waits for it. Use it for files, databases,
/// and libraries that do not know fibers. Returns what `function` returns, and throws what it
/// throws. At most 64 such calls run at a time in a server; further calls wait. If the caller is in
/// a catch block, `function` sees the exception that is being handled.
///
/// @throws std::system_error also if a thread is needed and cannot be had.
template <class Function>
std::invoke_result_t<Function&> run_blocking(Function&& function) {
    using Result = std::invoke_result_t<Function&>;
    if constexpr (std::is_void_v<Result>) {
        detail::run_blocking([&] { function(); });
    } else {
        std::optional<Result> result;
        detail::run_blocking([&] { result.emplace(function()); });
        return std::move(*result);
    }
}

/// A function that runs concurrently with its caller: in a fiber of the same worker if the object
/// is made in a fiber, otherwise in a thread.
///
/// Ownership: move-only; the destructor waits for the end, as that of `std::jthread`.
///
/// Errors: an exception that leaves the function is kept, and join() throws it.
///
/// Thread safety: join() must be called in the thread that made the object.
class SOCKETSERVER_EXPORT Fiber {
  public:
    Fiber() noexcept;
    /// @throws std::system_error if there is no memory for a stack, or no thread.
    explicit Fiber(std::function<void()> function);
    /// Takes over the running function. `other` is default-constructed afterwards.
    Fiber(Fiber&& other) noexcept;
    /// The same, after waiting for the function that this object has.
    Fiber& operator=(Fiber&& other) noexcept;
    ~Fiber();

    /// Whether there is something to wait for.
    bool joinable() const noexcept { return state_ != nullptr; }
    /// Waits for the end of the function. Afterwards the object is as after default construction.
    ///
    /// @throws the exception of the function, if it threw one.
    void join();

  private:
    struct State;
    std::shared_ptr<State> state_;
};

/// Begins to run `function` beside the caller.
template <class Function>
Fiber spawn(Function&& function) {
    return Fiber{std::function<void()>{std::forward<Function>(function)}};
}

}  // namespace socketserver
