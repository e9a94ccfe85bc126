// SPDX-License-Identifier: MIT
#include "io/break_off_watch.hpp"

#include "request/connection.hpp"
#include "request/request_table.hpp"

namespace socketserver::detail {

BreakOffWatch::BreakOffWatch(Connection* request) {
    if (request == nullptr || request->table->in_child()) return;
    request_ = request;
    watch_.waker = &waker_.emplace();
    request_->table->add_watch(watch_);
}

BreakOffWatch::~BreakOffWatch() {
    if (request_ != nullptr) request_->table->remove_watch(watch_);
}

bool BreakOffWatch::is_broken_off() const noexcept {
    return request_ != nullptr && request_->cancelled.load();
}

}  // namespace socketserver::detail
