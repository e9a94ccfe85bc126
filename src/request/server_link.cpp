// SPDX-License-Identifier: MIT
#include "socketserver/detail/request/server_link.hpp"

#include <stdexcept>
#include <utility>

#include "os/futex.hpp"
#include "request/connection.hpp"
#include "request/request_table.hpp"
#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

namespace {

/// The bit of ServerLink::pins_ that says that the link is cut; the other bits are the number of
/// pins.
constexpr std::uint32_t cut_bit = std::uint32_t{1} << 31U;

constinit thread_local ServerPin* innermost_pin = nullptr;

[[noreturn]] void throw_closed() { throw std::logic_error("the server of this request is closed"); }

}  // namespace

ServerBase& ServerLink::server() const {
    if ((pins_.load(std::memory_order_acquire) & cut_bit) != 0) throw_closed();
    return *server_;
}

void ServerLink::cut() noexcept {
    std::uint32_t pins = pins_.fetch_or(cut_bit) | cut_bit;
    // A handler that closes its own server must not wait for itself.
    const std::uint32_t rest = cut_bit | ServerPin::held_here(*this);
    while (pins > rest) {
        futex_wait(pins_, pins, never);
        pins = pins_.load();
    }
}

void ServerLink::forget_other_threads() noexcept { pins_ = ServerPin::held_here(*this); }

ServerPin::ServerPin(Connection& connection) noexcept : owned_{connection.table->server} {
    connection.pin = this;
    pin(*owned_);
}

bool ServerPin::pin(const ServerLink& link) noexcept {
    link_ = &link;
    outer_ = std::exchange(innermost_pin, this);
    acquire();
    return holds_;
}

void ServerPin::leave() noexcept {
    release();
    innermost_pin = outer_;
}

void ServerPin::acquire() noexcept {
    std::uint32_t pins = link_->pins_.load();
    do {
        if ((pins & cut_bit) != 0) return;
    } while (!link_->pins_.compare_exchange_weak(pins, pins + 1));
    holds_ = true;
}

void ServerPin::release() noexcept {
    if (!std::exchange(holds_, false)) return;
    // The link outlives the server here, because the pin, or its request, owns it.
    if ((link_->pins_.fetch_sub(1) & cut_bit) != 0) futex_wake_all(link_->pins_);
}

std::uint32_t ServerPin::held_here(const ServerLink& link) noexcept {
    std::uint32_t count = 0;
    for (const ServerPin* pin = innermost_pin; pin != nullptr; pin = pin->outer_) {
        if (pin->holds_ && pin->link_ == &link) ++count;
    }
    return count;
}

}  // namespace socketserver::detail
