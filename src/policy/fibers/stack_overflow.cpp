// SPDX-License-Identifier: MIT
#include "policy/fibers/stack_overflow.hpp"

#include <dlfcn.h>
#include <link.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <mutex>
#include <new>
#include <string_view>

#include "io/sockaddr.hpp"
#include "os/no_sigpipe.hpp"
#include "policy/fibers/scheduler.hpp"

namespace socketserver::detail {

namespace {

constexpr std::size_t signal_stack_size = 64UL * 1024;
struct sigaction before;  // the action before ours

// The functions from here to the line "End of the signal handler" run in the signal handler. The
// fiber that overflowed its stack may have been inside malloc(), so they neither allocate nor take
// a lock.

/// A line for stderr.
class Line {
  public:
    Line& add(std::string_view text) noexcept {
        const std::size_t size = std::min(text.size(), text_.size() - size_);
        std::memcpy(text_.data() + size_, text.data(), size);
        size_ += size;
        return *this;
    }
    Line& add(std::size_t number) noexcept {
        std::array<char, 24> digits{};
        const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
        return add({digits.data(), static_cast<std::size_t>(end - digits.data())});
    }
    void write() const noexcept {
        const NoSigpipe no_sigpipe;
        [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text_.data(), size_);
    }

  private:
    std::array<char, 512> text_{};
    std::size_t size_ = 0;
};

void report_overflow(const Fiber& fiber) noexcept {
    Line line;
    line.add("socketserver: stack overflow in the fiber that serves ");
    if (fiber.request != nullptr) {  // null while it is being destroyed
        const Address& client = fiber.request->client_address();
        HostText text;
        line.add(host_text(client, text));
        if (client.is_inet()) line.add(" port ").add(std::size_t{client.port()});
    }
    line.add(" (its stack has ")
        .add(static_cast<std::size_t>(fiber.stack.top - fiber.stack.bottom))
        .add(" bytes; see FiberMixIn::stack_size)\n")
        .write();
}

/// If the signal was sent, and not caused by an instruction, sends it again to this thread, with
/// the same information. It is delivered when the handler has returned.
void send_again(int signal, siginfo_t* info) noexcept {
    if (info->si_code > 0) return;  // the instruction is repeated, and causes the fault again
    sigset_t until_return;
    ::sigemptyset(&until_return);
    ::sigaddset(&until_return, signal);
    ::pthread_sigmask(SIG_BLOCK, &until_return, nullptr);  // with SA_NODEFER it is not blocked
    const auto thread = ::syscall(SYS_gettid);
    if (::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), thread, signal, info) == -1) ::raise(signal);
}

void on_fault(int signal, siginfo_t* info, void* context);

bool has_flag(const struct sigaction& action, unsigned flag) noexcept {
    return (static_cast<unsigned>(action.sa_flags) & flag) != 0;
}

bool is_ours(const struct sigaction& action) noexcept {
    return has_flag(action, SA_SIGINFO) && action.sa_sigaction == on_fault;
}

bool is_function(const struct sigaction& action) noexcept {
    if (has_flag(action, SA_SIGINFO)) return action.sa_sigaction != nullptr;
    return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
}

/// May not return: a handler may jump away.
void hand_on(int signal, siginfo_t* info, void* context) {
    if (!is_function(before)) {
        if (before.sa_handler == SIG_IGN && info->si_code <= 0) return;
        ::sigaction(signal, &before, nullptr);
        return send_again(signal, info);
    }
    struct sigaction present {};
    ::sigaction(signal, nullptr, &present);
    // If the program has installed another handler later, that one calls this one. Otherwise the
    // kernel has called this handler; with SA_RESETHAND, which is taken over from the previous
    // action, it has then restored the default.
    const bool on_top =
        is_ours(present) || (has_flag(before, SA_RESETHAND) && present.sa_handler == SIG_DFL);
    if (on_top && !has_flag(before, SA_ONSTACK)) {
        ::sigaction(signal, &before, nullptr);
        return send_again(signal, info);
    }
    if (has_flag(before, SA_SIGINFO)) return before.sa_sigaction(signal, info, context);
    before.sa_handler(signal);
}

void on_fault(int signal, siginfo_t* info, void* context) {
    const int saved = errno;
    const Scheduler* scheduler = Scheduler::here();
    if (scheduler != nullptr && info->si_code > 0) {
        const Fiber& fiber = scheduler->running();
        const char* where = static_cast<const char*>(info->si_addr);
        if (!fiber.is_main && where < fiber.stack.bottom &&
            where >= fiber.stack.bottom - StackPool::guard_size) {
            report_overflow(fiber);
        }
    }
    errno = saved;
    hand_on(signal, info, context);
    errno = saved;
}

// End of the signal handler.

/// Keeps the code of this file loaded. It may be part of a plugin that is unloaded, and a handler
/// that was installed later may call it. Returns false if this is not possible.
bool stay_loaded() noexcept {
#ifdef __GLIBC__  // elsewhere nothing is ever unloaded
    Dl_info info{};
    void* extra = nullptr;
    if (::dladdr1(reinterpret_cast<void*>(&on_fault), &info, &extra, RTLD_DL_LINKMAP) == 0) {
        return true;  // a program without a dynamic linker
    }
    const char* name = static_cast<const link_map*>(extra)->l_name;
    if (*name == '\0') return true;  // the program itself
    return ::dlopen(name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE) != nullptr;
#else
    return true;
#endif
}

void install_handler() noexcept {
    static std::mutex mutex;
    static bool installed = false;
    const std::lock_guard lock{mutex};
    if (installed || !stay_loaded()) return;
    ::sigaction(SIGSEGV, nullptr, &before);
    struct sigaction action = before;  // with its mask and flags
    action.sa_sigaction = on_fault;
    action.sa_flags |= SA_SIGINFO | SA_ONSTACK;
    installed = ::sigaction(SIGSEGV, &action, nullptr) == 0;
}

}  // namespace

OverflowReport::OverflowReport() noexcept {
    install_handler();
    stack_t present{};
    ::sigaltstack(nullptr, &present);
    if ((present.ss_flags & SS_DISABLE) == 0) return;
    stack_.reset(new (std::nothrow) char[signal_stack_size]);
    if (stack_ == nullptr) return;
    stack_t own{};
    own.ss_sp = stack_.get();
    own.ss_size = signal_stack_size;
    ::sigaltstack(&own, nullptr);
}

OverflowReport::~OverflowReport() {
    if (stack_ == nullptr) return;
    stack_t present{};
    ::sigaltstack(nullptr, &present);
    if (present.ss_sp != stack_.get()) return;  // the program has set another one
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    ::sigaltstack(&none, nullptr);
}

}  // namespace socketserver::detail
