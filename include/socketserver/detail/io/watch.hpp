// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <optional>

#include "socketserver/detail/os/waker.hpp"

namespace socketserver::detail {

/// A waiter for an object that has no descriptor: a select(), or a wait that a server may break
/// off. It is an entry in the list of the object's waiters, and is woken when the object has
/// changed.
struct Watch {
    const Waker* waker = nullptr;  ///< is woken then
    Watch* next = nullptr;
    bool is_listed = false;
};

/// An object for which select() can wait although it has no descriptor. begin_watch() returns
/// whether the object is ready, and adds the watch to its list if not. end_watch() removes the
/// watch from the list if it is there. Both may be called from any thread.
template <class T>
concept watchable = requires(T& object, Watch& watch) {
    { object.begin_watch(watch) } -> std::same_as<bool>;
    object.end_watch(watch);
};

/// The watches of one object. A mutex of the owner guards it.
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
