// SPDX-License-Identifier: MIT
#include "request/child_outcomes.hpp"

#include <sys/mman.h>

#include <cstring>
#include <type_traits>

#include "io/sockaddr.hpp"
#include "os/shared_memory.hpp"

namespace socketserver::detail {

void ChildOutcome::clear() noexcept {
    reason = no_reason;
    is_refused = is_announced = has_share = false;
}

void ChildOutcome::announce(const Address& client_address, bool takes_share) noexcept {
    size_ = 0;
    if (!client_address.empty()) {
        const SockAddr raw = to_sockaddr(client_address);
        size_ = raw.size;
        std::memcpy(address_.data(), &raw.storage, size_);
    }
    has_share = takes_share;
    is_announced = true;
}

Address ChildOutcome::client_address() const {
    SockAddr raw;
    std::memcpy(&raw.storage, address_.data(), size_);
    raw.size = size_;
    return size_ == 0 ? Address{} : from_sockaddr(raw);
}

// The kernel maps zeroes, so the objects need no constructor.
ChildOutcomes::ChildOutcomes()
    : memory_{static_cast<ChildOutcome*>(
          map_shared_memory(most * sizeof(ChildOutcome), "map what children tell"))} {
    static_assert(std::is_trivially_destructible_v<ChildOutcome>);
}

ChildOutcomes::~ChildOutcomes() { ::munmap(memory_, most * sizeof(ChildOutcome)); }

}  // namespace socketserver::detail
