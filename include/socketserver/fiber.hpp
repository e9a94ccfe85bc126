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
/// For handlers under FiberMixIn: waiting without holding up the neighbours. Outside of a fiber
/// each does the ordinary blocking thing, so that a handler that uses them still runs under every
/// policy. A program that uses them links `socketserver::fiber`.
namespace socketserver {

/// As std::this_thread::sleep_for().
///
/// @throws Cancelled in a fiber whose server is being stopped.
inline void sleep_for(std::chrono::nanoseconds time) {
    detail::sleep_until(detail::deadline_after(time));
}

/// Lets the other fibers of this worker run that can. For loops that compute for long.
inline void yield() { detail::yield(); }

/// Calls `function` in a thread where it may block, and waits for it: for files, databases, and
/// libraries that do not know of fibers. What it returns or throws is returned or thrown here. At
/// most 64 of them run at a time in a server, the others wait for their turn. In a catch block
/// `function` finds the exception that is being handled.
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

/// Something that runs beside its maker: in a fiber of the same worker if it is made in a fiber,
/// else in a thread.
///
/// Ownership: move-only; the destructor waits for the end, as that of `std::jthread`.
///
/// Errors: what leaves the function is kept, and thrown by join().
///
/// Thread safety: join() in the thread that made it.
class SOCKETSERVER_EXPORT Fiber {
  public:
    Fiber() noexcept;
    /// @throws std::system_error if there is no memory for a stack, or no thread.
    explicit Fiber(std::function<void()> function);
    /// Takes over what runs; `other` is as default-made afterwards.
    Fiber(Fiber&& other) noexcept;
    /// The same, after the end of what this object has.
    Fiber& operator=(Fiber&& other) noexcept;
    ~Fiber();

    /// Whether there is something to wait for.
    bool joinable() const noexcept { return state_ != nullptr; }
    /// Waits for the end. Afterwards the object is as default-made.
    ///
    /// @throws what the function has thrown.
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
