// SPDX-License-Identifier: MIT
#include "policy/fibers/registrations.hpp"

#include <unistd.h>

#include <utility>

#include "io/channel_wait.hpp"
#include "policy/fibers/scheduler.hpp"

namespace socketserver::detail {

Registrations::Registrations(Scheduler& scheduler) : scheduler_{scheduler}, process_{::getpid()} {}

bool Registrations::is_in_child() const noexcept { return ::getpid() != process_; }

FdRecord& Registrations::take(int fd, Direction direction) {
    FdRecord* record = unused_;
    if (record != nullptr) {
        unused_ = record->next;
    } else {
        record = &all_.emplace_back();
        record->owner = this;
    }
    record->fd = fd;
    record->direction = direction;
    ++used_;
    return *record;
}

void Registrations::give_back(FdRecord& record) noexcept {
    record.waiting = nullptr;
    record.connection = nullptr;
    record.fd = -1;
    ++record.generation;
    record.input = Readiness::unknown;
    record.read_to_the_end = false;
    record.has_ended = false;
    record.next = std::exchange(unused_, &record);
    --used_;
}

void Registrations::forget_here(FdRecord& record) noexcept {
    // Fibers may still wait for the descriptor that is being closed.
    if (record.waiting != nullptr) scheduler_.end_wait_of_closed(*record.waiting);
    while (record.also_waiting != nullptr) {
        ChannelWait& wait = *std::exchange(record.also_waiting, record.also_waiting->next);
        wait.registration = nullptr;
        scheduler_.end_wait_of_closed(*static_cast<Fiber*>(wait.waiter));
    }
    give_back(record);
}

void FdRecord::forget(bool stays_open) noexcept {
    const Scheduler* here = Scheduler::here();
    if (here == nullptr || !here->owns(*this)) return owner->forget_elsewhere(*this, stays_open);
    if (stays_open && !owner->is_in_child()) here->stop_watching(*this);
    owner->forget_here(*this);
}

/// In a thread other than the scheduler's.
void Registrations::forget_elsewhere(FdRecord& record, bool stays_open) noexcept {
    if (is_in_child()) return;
    std::unique_lock lock{mutex_};
    if (!closed_) {
        if (stays_open) scheduler_.stop_watching(record);
        record.next = std::exchange(foreign_, &record);
        has_foreign_.store(true, std::memory_order_relaxed);
        return scheduler_.wake();  // a fiber may wait for it
    }
    give_back(record);
    if (used_ > 0) return;
    lock.unlock();
    delete this;
}

void Registrations::collect() noexcept {
    const std::lock_guard lock{mutex_};
    while (foreign_ != nullptr) forget_here(*std::exchange(foreign_, foreign_->next));
    has_foreign_.store(false, std::memory_order_relaxed);
}

void Registrations::close() noexcept {
    std::unique_lock lock{mutex_};
    while (foreign_ != nullptr) give_back(*std::exchange(foreign_, foreign_->next));
    closed_ = true;
    if (used_ > 0) return;
    lock.unlock();
    delete this;
}

}  // namespace socketserver::detail
