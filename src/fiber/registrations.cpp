// SPDX-License-Identifier: MIT
#include "fiber/registrations.hpp"

#include <cerrno>
#include <utility>

#include "fiber/scheduler.hpp"

namespace socketserver::detail {

void FdRecord::forget() noexcept {
    Scheduler* scheduler = Scheduler::here();
    if (scheduler == nullptr || !scheduler->owns(*this)) {
        return owner->give_back_from_elsewhere(*this);
    }
    // Whoever still waits: the descriptor goes away under it.
    for (Fiber* waiting : {reader, writer}) {
        if (waiting != nullptr) scheduler->end_wait(*waiting, Wake::closed);
    }
    owner->give_back(*this);
}

FdRecord& Registrations::take() {
    FdRecord* record = unused_;
    if (record != nullptr) {
        unused_ = record->next;
    } else {
        record = &all_.emplace_back();
        record->owner = this;
    }
    ++used_;
    return *record;
}

void Registrations::recycle(FdRecord& record) noexcept {
    record.reader = record.writer = nullptr;
    record.connection = nullptr;
    record.fd = -1;
    ++record.generation;
    record.input = record.output = Readiness::unknown;
    record.watches_output = record.read_to_the_end = false;
    record.next = std::exchange(unused_, &record);
    --used_;
}

void Registrations::give_back(FdRecord& record) noexcept { recycle(record); }

void Registrations::give_back_from_elsewhere(FdRecord& record) noexcept {
    std::unique_lock lock{mutex_};
    if (!closed_) {
        record.next = std::exchange(foreign_, &record);
        has_foreign_.store(true, std::memory_order_relaxed);
        return;
    }
    recycle(record);
    if (used_ > 0) return;
    lock.unlock();
    delete this;
}

void Registrations::collect_foreign() noexcept {
    const std::lock_guard lock{mutex_};
    while (foreign_ != nullptr) {
        FdRecord& record = *foreign_;
        foreign_ = record.next;
        recycle(record);
    }
    has_foreign_.store(false, std::memory_order_relaxed);
}

void Registrations::close() noexcept {
    std::unique_lock lock{mutex_};
    while (foreign_ != nullptr) {
        FdRecord& record = *foreign_;
        foreign_ = record.next;
        recycle(record);
    }
    closed_ = true;
    if (used_ > 0) return;
    lock.unlock();
    delete this;
}

}  // namespace socketserver::detail
