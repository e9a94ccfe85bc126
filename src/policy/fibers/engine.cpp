// SPDX-License-Identifier: MIT
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <utility>

#include "os/no_sigpipe.hpp"
#include "policy/fibers/scheduler.hpp"
#include "policy/fibers/workers.hpp"
#include "socketserver/detail/policy/fibers/fiber_engine.hpp"
#include "socketserver/policy_host.hpp"

namespace socketserver::detail {

namespace {

/// One stay of a server in serve_forever(). The first worker runs in the serving thread.
class Serve final : public Workers {
  public:
    Serve(const PolicyHost& host, const FiberSettings& settings)
        : Workers{host, settings, true}, host_{host} {
        add_worker();
        outer_ = set_for_this_thread(this);
    }
    ~Serve() override { set_for_this_thread(outer_); }

    void run(const std::function<void()>& loop);
    void start(std::unique_ptr<RequestJob> request) override;

  private:
    void drain();
    void end_workers();

    const PolicyHost& host_;
    FiberStarter* outer_ = nullptr;
};

void Serve::run(const std::function<void()>& loop) {
    begin_watch();
    std::exception_ptr error;
    workers().front()->scheduler.run([&] {
        try {
            loop();
            drain();
        } catch (...) {
            error = std::current_exception();
        }
        end_workers();
    });
    join_workers();
    end_watch();
    if (error) std::rethrow_exception(error);
}

/// Lets what has begun go on until it has ended, or the server is stopped.
void Serve::drain() {
    idle().wanted = true;
    while (!are_idle()) {
        if (!host_.wait_unless_stopped(idle().waker.fileno())) return;
        idle().waker.reset();
    }
}

void Serve::end_workers() {
    workers().front()->scheduler.cancel();
    finish_workers(true);
}

void Serve::start(std::unique_ptr<RequestJob> request) {
    Scheduler& here = *Scheduler::here();
    // Only the serving thread hands over: what a handler starts stays where it is.
    const bool serving = &here == &workers().front()->scheduler;
    Scheduler& chosen = serving ? least_loaded() : here;
    if (&chosen == &here) {
        chosen.add_load();
        chosen.start(request);
    } else {
        chosen.post(std::move(request));
    }
}

}  // namespace

void serve_with_fibers(const PolicyHost& host, const FiberSettings& settings,
                       const std::function<void()>& loop) {
    // The loop of a server inside of a handler has a thread of its own.
    run_blocking([&] { Serve{host, settings}.run(loop); });
}

void start_fiber(std::unique_ptr<RequestJob>& request) {
    if (FiberStarter* starter = FiberStarter::of_this_thread()) {
        starter->start(std::move(request));
    } else {
        request->run();
    }
}

void print_blocking(const Address& client_address, std::chrono::nanoseconds time) noexcept {
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
    const NoSigpipe no_sigpipe;
    std::string client = "a client";  // so short that it needs no memory
    try {
        client = client_address.to_string();
    } catch (const std::bad_alloc&) {
        // The rest is said nevertheless.
    }
    std::fprintf(stderr,
                 "socketserver: the handler of %s has blocked its worker for %lld ms "
                 "(see run_blocking)\n",
                 client.c_str(), static_cast<long long>(milliseconds));
}

unsigned default_workers() noexcept {
    cpu_set_t cores;
    if (::sched_getaffinity(0, sizeof cores, &cores) == 0) {
        return static_cast<unsigned>(CPU_COUNT(&cores));
    }
    return std::max(std::thread::hardware_concurrency(), 1U);
}

}  // namespace socketserver::detail
