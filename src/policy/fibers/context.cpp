// SPDX-License-Identifier: MIT
#include "policy/fibers/context.hpp"

#include <boost/context/detail/fcontext.hpp>
#include <cstdlib>

#if defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define SOCKETSERVER_ASAN
#    endif
#    if __has_feature(thread_sanitizer)
#        define SOCKETSERVER_TSAN
#    endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#    define SOCKETSERVER_ASAN
#endif
#if defined(__SANITIZE_THREAD__)
#    define SOCKETSERVER_TSAN
#endif

#ifdef SOCKETSERVER_ASAN
#    include <sanitizer/asan_interface.h>
#    include <sanitizer/common_interface_defs.h>
#endif
#ifdef SOCKETSERVER_TSAN
#    include <sanitizer/tsan_interface.h>
#endif

namespace socketserver::detail {

namespace {

using boost::context::detail::transfer_t;

struct Switch {
    Context* from;
    Context* to;
};

// What is done first in the context to which a switch went. A function would be one more return
// behind each switch, see Scheduler::loop().
#ifdef SOCKETSERVER_ASAN
void tell_of_arrival(const Switch& done) {
    // It also returns where the stack of a thread lies, which is not known otherwise.
    __sanitizer_finish_switch_fiber(done.to->asan_stack, &done.from->stack_bottom,
                                    &done.from->stack_size);
}
#endif

void begin(transfer_t transfer) {
    const Switch& done = *static_cast<const Switch*>(transfer.data);
    done.from->point = transfer.fctx;
#ifdef SOCKETSERVER_ASAN
    tell_of_arrival(done);
#endif
    done.to->entry(done.to->argument);
    std::abort();
}

}  // namespace

void forget_former_use([[maybe_unused]] void* stack_bottom, [[maybe_unused]] void* stack_top) {
#ifdef SOCKETSERVER_ASAN
    __asan_unpoison_memory_region(
        stack_bottom,
        static_cast<std::size_t>(static_cast<char*>(stack_top) - static_cast<char*>(stack_bottom)));
#endif
}

void make_context(Context& context, void* stack_bottom, void* stack_top,
                  void (*entry)(void* argument), void* argument) {
    const auto size =
        static_cast<std::size_t>(static_cast<char*>(stack_top) - static_cast<char*>(stack_bottom));
    context.point = boost::context::detail::make_fcontext(stack_top, size, begin);
    context.entry = entry;
    context.argument = argument;
    context.is_over = false;
    context.stack_bottom = stack_bottom;
    context.stack_size = size;
#ifdef SOCKETSERVER_TSAN
    context.tsan_fiber = __tsan_create_fiber(0);
#endif
}

void adopt_thread([[maybe_unused]] Context& context) {
#ifdef SOCKETSERVER_TSAN
    context.tsan_fiber = __tsan_get_current_fiber();
#endif
}

void switch_context(Context& from, Context& to) {
    Switch next{&from, &to};
#ifdef SOCKETSERVER_ASAN
    __sanitizer_start_switch_fiber(from.is_over ? nullptr : &from.asan_stack, to.stack_bottom,
                                   to.stack_size);
#endif
#ifdef SOCKETSERVER_TSAN
    __tsan_switch_to_fiber(to.tsan_fiber, 0);
#endif
    const transfer_t transfer = boost::context::detail::jump_fcontext(to.point, &next);
    const Switch& done = *static_cast<const Switch*>(transfer.data);  // the one that came back
    done.from->point = transfer.fctx;
#ifdef SOCKETSERVER_ASAN
    tell_of_arrival(done);
#endif
}

void leave_for_good(Context& from, Context& to) {
    from.is_over = true;
    switch_context(from, to);
    std::abort();
}

void destroy_context([[maybe_unused]] Context& context) {
#ifdef SOCKETSERVER_TSAN
    __tsan_destroy_fiber(context.tsan_fiber);
#endif
}

}  // namespace socketserver::detail
