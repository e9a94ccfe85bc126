// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "policy/fibers/context.hpp"
#include "policy/fibers/stack_pool.hpp"

namespace socketserver::detail {

/// A stack for the deep calls of all fibers of a thread, one at a time. What such a call touches
/// would otherwise stay resident in the stack of each fiber, also while its client is idle.
class SharedStack {
  public:
    using Work = void (*)(void* argument) noexcept;

    /// Calls `work` on this stack and returns when it has returned. It must not suspend.
    /// @param caller the context that is running.
    /// @throws std::system_error or std::bad_alloc at the first call, if there is no stack.
    void call(Context& caller, Work work, void* argument);
    /// To be called at the end of the thread's fibers, in any of them.
    void end(Context& caller) noexcept;

  private:
    static constexpr std::size_t size = 64UL * 1024;

    static void main(void* self);

    StackPool pool_{size, 1};
    StackPool::Stack stack_;
    Context context_;
    Context* caller_ = nullptr;
    Work work_ = nullptr;  // null: ends
    void* argument_ = nullptr;
};

}  // namespace socketserver::detail
