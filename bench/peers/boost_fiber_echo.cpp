// SPDX-License-Identifier: MIT
// Line echo on Boost.Fiber as it comes: its round-robin scheduler, which runs Asio's loop when no
// fiber is ready, and a fiber that waits by suspending itself until Asio's callback.
#include <boost/fiber/all.hpp>
#include <chrono>
#include <vector>

#include "asio_common.hpp"

namespace {

using namespace peer;
namespace fibers = boost::fibers;

class AsioRoundRobin : public fibers::algo::round_robin {
  public:
    explicit AsioRoundRobin(asio::io_context& context) : context_{context} {}

    void suspend_until(const std::chrono::steady_clock::time_point& deadline) noexcept override {
        // Callbacks only make fibers ready. Those that are due are all run, so that one wait for
        // events serves many fibers.
        if (deadline == std::chrono::steady_clock::time_point::max()) {
            context_.run_one();
        } else {
            context_.run_one_until(deadline);
        }
        context_.poll();
    }

  private:
    asio::io_context& context_;
};

// Starts an operation and suspends the fiber until it is done. Nothing but this thread runs
// callbacks, and not before the fiber is suspended.
template <class Start>
std::size_t wait(error_code& error, const Start& start) {
    fibers::context* self = fibers::context::active();
    std::size_t result = 0;
    start([&, self](error_code outcome, std::size_t size = 0) {
        error = outcome;
        result = size;
        fibers::context::active()->schedule(self);
    });
    self->suspend();
    return result;
}

void serve(Socket socket) {
    std::vector<char> buffer(4096);
    std::size_t held = 0;
    error_code error;
    for (;;) {
        if (held == buffer.size()) buffer.resize(2 * buffer.size());
        const std::size_t got = wait(
            error, [&](auto done) { socket.async_read_some(asio::buffer(buffer) + held, done); });
        if (error) return;
        const std::size_t complete = complete_lines(buffer.data(), held, got);
        held += got;
        if (complete == 0) continue;
        wait(error, [&](auto done) {
            asio::async_write(socket, asio::buffer(buffer.data(), complete), done);
        });
        if (error) return;
        held -= complete;
        if (held > 0) std::memmove(buffer.data(), buffer.data() + complete, held);
    }
}

}  // namespace

int main(int argc, char** argv) {
    asio::io_context context{1};
    const auto busy = asio::make_work_guard(context);
    Acceptor listener = acceptor(context, argc, argv);
    fibers::use_scheduling_algorithm<AsioRoundRobin>(context);
    for (;;) {
        error_code error;
        Socket socket{context};
        wait(error, [&](auto done) {
            listener.async_accept(socket, [done](error_code outcome) { done(outcome); });
        });
        if (!error) fibers::fiber{serve, std::move(socket)}.detach();
    }
}
