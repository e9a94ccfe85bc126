// SPDX-License-Identifier: MIT
#include "policy/fibers/shared_stack.hpp"

namespace socketserver::detail {

void SharedStack::call(Context& caller, Work work, void* argument) {
    if (stack_.bottom == nullptr) stack_ = pool_.take();
    if (caller_ == nullptr) make_context(context_, stack_.bottom, stack_.top, main, this);
    caller_ = &caller;
    work_ = work;
    argument_ = argument;
    switch_context(caller, context_);
}

void SharedStack::end(Context& caller) noexcept {
    if (caller_ == nullptr) return;
    caller_ = &caller;
    work_ = nullptr;
    switch_context(caller, context_);
    destroy_context(context_);
    caller_ = nullptr;
}

void SharedStack::main(void* self) {
    auto& shared = *static_cast<SharedStack*>(self);
    while (shared.work_ != nullptr) {
        shared.work_(shared.argument_);
        switch_context(shared.context_, *shared.caller_);
    }
    leave_for_good(shared.context_, *shared.caller_);
}

}  // namespace socketserver::detail
