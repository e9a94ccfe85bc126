// SPDX-License-Identifier: MIT
#include "io/full_queue.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include "io/arrival.hpp"
#include "request/connection.hpp"
#include "request/request_table.hpp"
#include "socketserver/datagram.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/errors.hpp"

namespace socketserver::detail {

namespace {

constexpr std::chrono::milliseconds longest_retry_pause{16};
/// How long a client that was given up must send nothing before the server waits for it again.
constexpr std::chrono::milliseconds quiet{1000};

/// The place where the server remembers that it gave this client up. The upper half identifies the
/// client, the lower half is the time in milliseconds.
struct GivenUp {
    GivenUp(SharedCounters& counters, const Address& client)
        : GivenUp{counters, std::hash<std::string>{}(client.to_string())} {}
    /// A hash has 64 bits or 32.
    GivenUp(SharedCounters& counters, std::size_t hash)
        : whom{static_cast<std::uint32_t>(hash >> (std::numeric_limits<std::size_t>::digits - 32))},
          place{counters.given_up[hash % counters.given_up.size()]} {}

    static std::uint32_t now() {
        return static_cast<std::uint32_t>(
            std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch())
                .count());
    }
    bool is_recent() const {
        const std::uint64_t value = place.load(std::memory_order_relaxed);
        return value >> 32 == whom && now() - static_cast<std::uint32_t>(value) < quiet.count();
    }
    void note() const { place.store(std::uint64_t{whom} << 32 | now(), std::memory_order_relaxed); }

    std::uint32_t whom;
    std::atomic<std::uint64_t>& place;
};

/// Whether the client itself caused the error of a reply to it. All other errors are failures of
/// the server.
bool is_of_client(int error, const Address& client) {
    switch (error) {
        case ETIMEDOUT:     // it does not read
        case ECONNREFUSED:  // it has closed its socket
        case ENOENT:        // and removed the path
        case ECONNRESET:
        case EPIPE:
        case EPROTOTYPE:  // something else has the path
        case EACCES:      // the path cannot be reached, or the sender was a broadcast address
        case ENOTDIR:
        case ELOOP:
        case EHOSTUNREACH:
        case ENETUNREACH:
            return true;
        case EINVAL:
            return client.is_inet() && client.port() == 0;
        default:
            return false;
    }
}

}  // namespace

Connection* datagram_request() noexcept {
    const ServerMark* mark = current().request;
    return mark != nullptr && mark->datagram() != nullptr ? mark->datagram()->connection_.get()
                                                          : nullptr;
}

const Arrival* arrival_of_request(const Channel& channel, const Address& to) noexcept {
    const ServerMark* mark = current().request;
    if (mark == nullptr || mark->datagram() == nullptr) return nullptr;
    const Arrival* const arrival = mark->datagram()->arrival_through(channel);
    if (arrival == nullptr) return nullptr;
    const Connection* request = datagram_request();
    return request != nullptr && request->client_address == to ? arrival : nullptr;
}

void note_undelivered(const Address& to) noexcept {
    const int error = errno;
    Connection* request = datagram_request();
    if (request != nullptr && request->client_address == to && is_of_client(error, to)) {
        request->undelivered = error;
    }
    errno = error;
}

FullQueue::FullQueue(const Channel& channel, const Address& to, TimePoint until)
    : channel_{channel}, to_{to}, until_{until} {
    if (channel.datagrams == nullptr) return;
    request_ = datagram_request();
    if (request_ == nullptr) {
        if (until_ == never) until_ = begin_ + moment;
        return;
    }
    RequestTable& table = *request_->table;
    if (const auto timeout = table.limits.settings().request_timeout()) {
        const TimePoint end = deadline_after(*timeout, request_->opened);
        is_of_request_ = end < until_;
        until_ = std::min(until_, end);
    } else if (until_ == never) {
        until_ = begin_ + moment;
    }
    if (GivenUp{*table.counters, to}.is_recent()) until_ = begin_;
}

bool FullQueue::is_to_end() const {
    if (request_ == nullptr) return false;
    return request_->cancelled.load() ||
           (Clock::now() - begin_ >= moment && request_->table->is_stopping());
}

int FullQueue::wait() {
    if (channel_.timeout.count() == 0) return -1;
    if (is_to_end()) {
        errno = ECANCELED;
        return -1;
    }
    const TimePoint now = Clock::now();
    if (now >= until_) {
        if (request_ != nullptr) GivenUp{*request_->table->counters, to_}.note();
        is_request_over_ = is_of_request_;
        errno = ETIMEDOUT;
        return -1;
    }
    try {
        sleep_until(std::min(until_, now + pause_));
    } catch (const Cancelled&) {  // a fiber, whose server is being stopped
        errno = ECANCELED;
        return -1;
    }
    pause_ = std::min(2 * pause_, longest_retry_pause);
    return 0;
}

}  // namespace socketserver::detail
