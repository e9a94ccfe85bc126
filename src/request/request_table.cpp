// SPDX-License-Identifier: MIT
#include "request/request_table.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <utility>

#include "os/sys.hpp"
#include "request/drain_signal.hpp"

namespace socketserver::detail {

namespace {

std::unique_ptr<ReplyGuard> guard_as_asked(const ServerOptions& options, bool is_stream) {
    if (is_stream || (!options.max_amplification && !options.max_reply_rate)) return {};
    return std::make_unique<ReplyGuard>(options.max_amplification, options.max_reply_rate);
}

}  // namespace

RequestTable::RequestTable(const ServerOptions& options, bool is_stream,
                           std::shared_ptr<ServerLink> link, const Waker& loop_waker,
                           const Waker& stop_waker)
    : limits{options, is_stream},
      reply_guard{guard_as_asked(options, is_stream)},
      server{std::move(link)},
      proxies{options},
      loop_waker_{&loop_waker},
      stop_waker_{&stop_waker} {
    counters->datagrams.guard = reply_guard.get();
}

void RequestTable::leave_server() noexcept {
    if (in_child_) return;
    const std::lock_guard lock{mutex_};
    loop_waker_ = stop_waker_ = nullptr;
    lingering.end();
}

void RequestTable::linger(int descriptor) noexcept {
    const std::lock_guard lock{mutex_};
    if (loop_waker_ == nullptr) {
        sys::calls.close(descriptor);  // there is no loop any more that would handle it
        return;
    }
    lingering.take(descriptor);
    loop_waker_->wake();
}

void RequestTable::wake_loop() noexcept {
    const std::lock_guard lock{mutex_};
    if (loop_waker_ != nullptr) loop_waker_->wake();
}

bool RequestTable::is_stopping() const noexcept {
    std::unique_lock lock{mutex_, std::defer_lock};
    if (!in_child_) lock.lock();
    if (stop_waker_ == nullptr) return true;
    pollfd stop{stop_waker_->fileno(), POLLIN, 0};
    return ::poll(&stop, 1, 0) > 0;
}

ConnectionHandle RequestTable::open(const Address& client_address, int fd, Place& place) {
    static_assert(sizeof(Connection) <= RecordMemory::slot_size);
    Address copy{client_address};
    ConnectionHandle connection{::new (record_memory.take())
                                    Connection{shared_from_this(), std::move(copy), fd, place}};
    place.table = nullptr;  // the record has it now
    ++counters->accepted;
    if (worker_ != nullptr) ++worker_->active;
    count_.fetch_add(1);
    const std::lock_guard lock{mutex_};
    connection->next = first_;
    if (first_ != nullptr) first_->previous = connection.get();
    first_ = connection.get();
    return connection;
}

void RequestTable::settle(Connection& connection) {
    Place& place = connection.place;
    switch (proxies.expect_from(connection.client_address)) {
        case ProxyPeers::Answer::header:
            connection.expects_proxy_header = true;
            break;
        case ProxyPeers::Answer::refuse:
            place.refused = RefuseCause::untrusted_peer;
            break;
        case ProxyPeers::Answer::no_header:
            if (limits.settings().limits_addresses())
                place.take_share(*this, connection.client_address);
            break;
    }
}

bool RequestTable::introduce(Connection& connection, const Address& client_address) {
    Address copy{client_address};
    ChildOutcome* const told = in_child_ ? outcome_of(connection) : nullptr;
    if (in_child_) {
        connection.client_address = std::move(copy);
    } else {
        const std::lock_guard lock{mutex_};
        connection.client_address = std::move(copy);
    }
    const bool takes_share = limits.settings().limits_addresses();
    // This comes first, so that the parent gives back the share if this process dies.
    if (told != nullptr) told->announce(connection.client_address, takes_share);
    if (!takes_share) return true;
    connection.place.take_share(*this, connection.client_address);
    if (!connection.place.refused) return true;
    connection.reason = CloseReason::limit;
    if (told != nullptr) told->has_share = false;
    return false;
}

void RequestTable::refuse(Connection& connection, RefuseCause cause) noexcept {
    connection.is_refused = true;
    if (worker_ != nullptr) --worker_->active;
    ++counters->of(cause);
}

void disown_descriptor(Connection* connection) noexcept {
    if (connection == nullptr) return;
    const RequestTable& table = *connection->table;
    std::unique_lock lock{table.mutex_, std::defer_lock};
    if (!table.in_child_) lock.lock();
    connection->fd = -1;
}

void RequestTable::end(Connection& connection) noexcept {
    counters->bytes_in += connection.bytes_in.load();
    counters->bytes_out += connection.bytes_out.load();
    const CloseReason reason =
        connection.has_final_reason ? connection.reason : reason_of(connection);
    if (connection.idle_ended && reason != CloseReason::cancelled) ++counters->idle_closed;
    if (in_child_) {
        // The request still belongs to the parent, which counts its end when it has waited for this
        // child.
        if (ChildOutcome* const told = outcome_of(connection)) {
            told->is_refused = connection.is_refused;
            told->reason = static_cast<unsigned char>(reason);
        } else if (connection.place.share_of != nullptr) {
            connection.place.give_back_share();
        }
        connection.place = {};  // the parent gives the rest back
        return;
    }
    if (connection.outcome != -1) learn_from_child(connection);
    // This comes first: a client that is counted as gone must not stand in the way of another one.
    if (connection.place.share_of != nullptr) connection.place.give_back_share();
    if (worker_ != nullptr && !connection.is_refused) --worker_->active;
    if (!connection.is_refused) {
        ++counters->of(reason);
        counters->duration.add(Clock::now() - connection.opened);
    }
    {
        const std::lock_guard lock{mutex_};
        if (connection.next != nullptr) connection.next->previous = connection.previous;
        (connection.previous != nullptr ? connection.previous->next : first_) = connection.next;
        if (connection.outcome != -1) free_outcomes_.push_back(connection.outcome);
    }
    if (connection.place.table != nullptr) connection.place.give_back();
    const bool was_last = count_.fetch_sub(1) == 1;
    if (was_last && last_wakes_loop_) wake_loop();
}

CloseReason RequestTable::reason_of(const Connection& connection) noexcept {
    const ChildOutcome* const told = in_child_ ? nullptr : outcome_of(connection);
    if (told != nullptr) {
        const unsigned char reason = told->reason;
        if (reason != ChildOutcome::no_reason) return static_cast<CloseReason>(reason);
        return connection.cancelled.load() ? CloseReason::cancelled : CloseReason::error;
    }
    if (connection.reason != CloseReason::finished) return connection.reason;
    if (connection.cancelled.load()) return CloseReason::cancelled;
    return connection.client_ended ? CloseReason::client_closed : CloseReason::finished;
}

ChildOutcome* RequestTable::outcome_of(const Connection& connection) noexcept {
    return connection.outcome == -1 ? nullptr
                                    : &outcomes_->at(static_cast<std::size_t>(connection.outcome));
}

void RequestTable::learn_from_child(Connection& connection) noexcept {
    ChildOutcome* const told = outcome_of(connection);
    if (in_child_) return;
    connection.is_refused = connection.is_refused || told->is_refused;
    if (!told->is_announced.exchange(false)) return;
    try {
        connection.client_address = told->client_address();
    } catch (const std::bad_alloc&) {
        return;  // a Unix path: no limit applies to it
    }
    if (!told->has_share) return;
    connection.place.table = this;
    connection.place.share_of = &connection.client_address;
}

void RequestTable::share_outcome(Connection& connection) noexcept {
    {
        const std::lock_guard lock{mutex_};
        if (!free_outcomes_.empty()) {
            connection.outcome = free_outcomes_.back();
            free_outcomes_.pop_back();
        } else if (used_outcomes_ < static_cast<int>(ChildOutcomes::most)) {
            try {
                if (!outcomes_) outcomes_.emplace();
                // Reserves room, so that giving an outcome back does not allocate, which could
                // fail.
                free_outcomes_.reserve(ChildOutcomes::most);
            } catch (const std::exception&) {
                return;  // no memory: the report of this child is lost
            }
            connection.outcome = used_outcomes_++;
        } else {
            return;  // too many children: the report of this one is lost
        }
    }
    outcome_of(connection)->clear();
}

void RequestTable::end_idle_input() noexcept {
    last_wakes_loop_ = true;
    counters->drain.ends_idle = true;
    end_input(Connection::Phase::idle);
}

void RequestTable::end_fresh_input() noexcept {
    counters->drain.ends_fresh = true;
    end_input(Connection::Phase::fresh);
}

void RequestTable::enter_worker() noexcept {
    // A thread of the parent may have held the lock at the fork, while it changed the list. So both
    // are made anew. The requests of the parent are not served here.
    ::new (static_cast<void*>(&mutex_)) std::mutex;
    first_ = nullptr;
    watches_ = {};
    count_ = 0;
    outcomes_.reset();
    free_outcomes_.clear();
    used_outcomes_ = 0;
    is_signalled_ = true;
    lingering.disown();
    DrainSignal::listen();
    std::size_t number = 0;
    for (SharedCounters::Worker& each : counters->workers()) {
        int nobody = 0;
        if (each.pid.compare_exchange_strong(nobody, ::getpid())) {
            worker_ = &each;
            break;
        }
        ++number;
    }
    limits.enter_worker(number);
}

void RequestTable::count_out_worker(int pid, CloseReason reason) noexcept {
    std::size_t number = 0;
    for (SharedCounters::Worker& each : counters->workers()) {
        if (each.pid.load() != pid) {
            ++number;
            continue;
        }
        limits.worker_has_ended(number);
        counters->of(reason) += each.active.exchange(0);
        each.pid = 0;
        return;
    }
}

void RequestTable::end_input_if_over(Connection& connection) const noexcept {
    const int fd = connection.fd;
    if (fd == -1 || !is_input_over(connection.phase.load())) return;
    // Bytes that have arrived can still be received; the end of the stream follows them.
    sys::calls.shutdown(fd, SHUT_RD);
    connection.idle_ended = true;
}

void RequestTable::end_input(Connection::Phase phase) noexcept {
    const std::lock_guard lock{mutex_};
    for (Connection* each = first_; each != nullptr; each = each->next) {
        if (each->phase.load() == phase) end_input_if_over(*each);
    }
}

void RequestTable::cancel_all() noexcept {
    const std::lock_guard lock{mutex_};
    for (Connection* each = first_; each != nullptr; each = each->next) {
        each->cancelled = true;
        if (each->fd != -1) sys::calls.shutdown(each->fd, SHUT_RDWR);
    }
    watches_.wake_all();
}

void RequestTable::add_watch(Watch& watch) noexcept {
    const std::lock_guard lock{mutex_};
    watches_.add(watch);
}

void RequestTable::remove_watch(Watch& watch) noexcept {
    const std::lock_guard lock{mutex_};
    watches_.remove(watch);
}

std::vector<ConnectionInfo> RequestTable::connections() const {
    std::vector<ConnectionInfo> all;
    const std::lock_guard lock{mutex_};
    for (const Connection* each = first_; each != nullptr; each = each->next) {
        all.push_back({.client_address = each->client_address,
                       .opened = each->opened,
                       .is_idle = each->phase.load() != Connection::Phase::busy,
                       .bytes_in = each->bytes_in.load(),
                       .bytes_out = each->bytes_out.load()});
    }
    return all;
}

Address RequestTable::take_address(Connection& connection) noexcept {
    const std::lock_guard lock{mutex_};
    return std::move(connection.client_address);
}

void SharedCounters::Times::add(std::chrono::nanoseconds time) noexcept {
    constexpr auto& bounds = Histogram::bounds;
    const auto bound = std::ranges::lower_bound(bounds, time);
    counts.at(static_cast<std::size_t>(bound - bounds.begin()))
        .fetch_add(1, std::memory_order_relaxed);
    nanoseconds.fetch_add(static_cast<std::uint64_t>(time.count()), std::memory_order_relaxed);
}

Histogram SharedCounters::Times::read() const noexcept {
    Histogram histogram;
    for (std::size_t i = 0; i < counts.size(); ++i)
        histogram.counts[i] = counts[i].load(std::memory_order_relaxed);
    histogram.sum = std::chrono::nanoseconds{nanoseconds.load(std::memory_order_relaxed)};
    return histogram;
}

void RequestTable::read(Statistics& statistics) const noexcept {
    // The order matters: what has ended is read before what was accepted, so the difference is
    // never negative. If something was accepted meanwhile, the difference would be too large, and
    // all is read once more.
    std::uint64_t before = 0;
    int tries = 100;
    do {
        before = counters->accepted;
        for (std::size_t i = 0; i < close_reasons; ++i) {
            statistics.closed_by[i] = counters->closed[i];
        }
        for (std::size_t i = 0; i < refuse_causes; ++i) {
            statistics.refused_by[i] = counters->refused[i];
        }
        statistics.accepted = counters->accepted;
    } while (statistics.accepted != before && --tries > 0);
    statistics.active = statistics.accepted - statistics.closed() - statistics.refused();
    statistics.accept_errors = counters->accept_errors;
    statistics.duration = counters->duration.read();
    statistics.waited = counters->waited.read();
    for (std::size_t number = 0; number < counters->sockets; ++number) {
        const DatagramCounters& datagrams = counters->datagrams_of(number);
        statistics.datagrams_truncated += datagrams.truncated;
        statistics.datagrams_dropped += datagrams.dropped;
        statistics.replies_failed += datagrams.undelivered;
        statistics.replies_withheld += datagrams.withheld;
    }
    statistics.bytes_in = counters->bytes_in;
    statistics.bytes_out = counters->bytes_out;
}

}  // namespace socketserver::detail
