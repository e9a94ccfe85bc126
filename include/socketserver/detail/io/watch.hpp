// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <optional>

#include "socketserver/detail/os/waker.hpp"

namespace socketserver::detail {

/// Somebody who wants to know when something without a descriptor has changed: a select(), or a
/// wait that a server may break off. It is an entry in a list of that something, which may have
/// many.
struct Watch {
    const Waker* waker = nullptr;  ///< is woken then
    Watch* next = nullptr;
    bool is_listed = false;
};

/// What select() can wait for although it has no descriptor. begin_watch() returns whether it is
/// ready, and lists the watch if it is not; end_watch() takes it from the list if it is there. They
/// may be called from any thread.
template <class T>
concept watchable = requires(T& object, Watch& watch) {
    { object.begin_watch(watch) } -> std::same_as<bool>;
    object.end_watch(watch);
};

/// Those who watch the same thing. Guarded by a mutex of its owner.
class WatchList {
  public:
    void add(Watch& watch) noexcept {
        watch.next = first_;
        watch.is_listed = true;
        first_ = &watch;
    }
    void remove(Watch& watch) noexcept {
        if (!watch.is_listed) return;
        Watch** link = &first_;
        while (*link != &watch) link = &(*link)->next;
        *link = watch.next;
        watch.is_listed = false;
    }
    void wake_all() const noexcept {
        for (const Watch* each = first_; each != nullptr; each = each->next) each->waker->wake();
    }

  private:
    Watch* first_ = nullptr;
};

}  // namespace socketserver::detail
