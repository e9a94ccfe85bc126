// SPDX-License-Identifier: MIT
#include "fiber/stack_overflow.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <string_view>

#include "fiber/scheduler.hpp"
#include "no_sigpipe.hpp"

namespace socketserver::detail {

namespace {

constexpr std::size_t signal_stack_size = 64UL * 1024;
struct sigaction before;  // what stood there before ours

void report_overflow(const Fiber& fiber) {
    // The stack is lost and the process ends; that the handler may have been inside malloc() is
    // why a numeric host is printed from its short string, which allocates nothing.
    const Address& client = fiber.request->client_address();
    const auto stack_size = static_cast<std::size_t>(fiber.stack.top - fiber.stack.bottom);
    std::array<char, 512> text{};
    const auto end =
        client.is_unix()
            ? fmt::format_to_n(text.data(), text.size(), "{}", client.path()).out
            : fmt::format_to_n(text.data(), text.size(), "{} port {}", client.host(), client.port())
                  .out;
    std::array<char, 1024> line{};
    const auto line_end =
        fmt::format_to_n(line.data(), line.size(),
                         "socketserver: stack overflow in the fiber that serves {} (its stack has "
                         "{} bytes; see FiberMixIn::stack_size)\n",
                         std::string_view{text.data(), static_cast<std::size_t>(end - text.data())},
                         stack_size)
            .out;
    const NoSigpipe no_sigpipe;
    [[maybe_unused]] const auto written =
        ::write(STDERR_FILENO, line.data(), static_cast<std::size_t>(line_end - line.data()));
}

void on_fault(int signal, siginfo_t* info, void* context) {
    const Scheduler* scheduler = Scheduler::here();
    if (scheduler != nullptr) {
        const Fiber& fiber = scheduler->running();
        const char* where = static_cast<const char*>(info->si_addr);
        if (!fiber.is_main && where < fiber.stack.bottom &&
            where >= fiber.stack.bottom - StackPool::guard_size) {
            report_overflow(fiber);
        }
    }
    if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction != nullptr) {
        before.sa_sigaction(signal, info, context);
        return;
    }
    if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal);
        return;
    }
    // The instruction is repeated, and meets the default.
    ::signal(signal, SIG_DFL);
}

void install_handler() {
    static std::mutex mutex;
    const std::lock_guard lock{mutex};
    struct sigaction present {};
    ::sigaction(SIGSEGV, nullptr, &present);
    if ((present.sa_flags & SA_SIGINFO) != 0 && present.sa_sigaction == on_fault) return;
    before = present;
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigaction(SIGSEGV, &action, nullptr);
}

}  // namespace

OverflowReport::OverflowReport() {
    install_handler();
    stack_t present{};
    ::sigaltstack(nullptr, &present);
    if ((present.ss_flags & SS_DISABLE) == 0) return;
    stack_ = std::make_unique<char[]>(signal_stack_size);
    stack_t own{};
    own.ss_sp = stack_.get();
    own.ss_size = signal_stack_size;
    ::sigaltstack(&own, nullptr);
}

OverflowReport::~OverflowReport() {
    if (!stack_) return;
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    ::sigaltstack(&none, nullptr);
}

}  // namespace socketserver::detail
