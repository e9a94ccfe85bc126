// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>

#include "socketserver/address.hpp"
#include "socketserver/detail/export.hpp"
#include "socketserver/detail/server/request_job.hpp"

namespace socketserver {
class PolicyHost;
}

// What FiberMixIn needs of the library socketserver_fiber.
namespace socketserver::detail {

struct FiberSettings {
    unsigned workers;
    std::size_t stack_size;
    std::chrono::nanoseconds report_blocking;  ///< 0 means not at all
    std::function<void(const Address&, std::chrono::nanoseconds)> handle_blocking;
    std::atomic<std::size_t>& fibers;  ///< counts them
};

/// Runs `loop` in the calling thread, with fibers beside it, until it and all of them have ended.
///
/// @throws what `loop` throws, or std::system_error if there are no descriptors or no memory.
SOCKETSERVER_EXPORT void serve_with_fibers(const PolicyHost& host, const FiberSettings& settings,
                                           const std::function<void()>& loop);

/// What handle_request() has handed over: fibers in threads of their own, which go on when it has
/// returned.
///
/// Thread safety: all members may be called from any thread. A forked child has none of the
/// threads, and begins anew.
class SOCKETSERVER_EXPORT BackgroundFibers {
  public:
    BackgroundFibers() noexcept;
    BackgroundFibers(const BackgroundFibers&) = delete;
    BackgroundFibers& operator=(const BackgroundFibers&) = delete;
    /// After close().
    ~BackgroundFibers();

    /// Runs `loop` in the calling thread; start_fiber() hands over to the background there. If the
    /// server has been stopped then, what goes on in the background is cancelled.
    ///
    /// @throws what `loop` throws, or std::system_error if there is no thread for fibers.
    void run(const PolicyHost& host, const FiberSettings& settings,
             const std::function<void()>& loop);
    /// Ends every wait of what goes on, now and from now on. Does not wait for it.
    void cancel() noexcept;
    /// Cancels, if `cancel`, and waits for what goes on, if `wait`.
    void close(bool cancel, bool wait);

  private:
    class State;
    State& state(const PolicyHost& host);

    std::atomic<State*> state_{nullptr};
};

/// Serves a request in a fiber of the worker that has the fewest. In a thread that is in no
/// serve_with_fibers() and no BackgroundFibers::run() it is served at once.
SOCKETSERVER_EXPORT void start_fiber(std::unique_ptr<RequestJob>& request);

/// What the default handle_blocking() does.
SOCKETSERVER_EXPORT void print_blocking(const Address& client_address,
                                        std::chrono::nanoseconds time) noexcept;

/// The cores that this process may use.
SOCKETSERVER_EXPORT unsigned default_workers() noexcept;

}  // namespace socketserver::detail
