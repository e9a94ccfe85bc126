// SPDX-License-Identifier: MIT
#include "socketserver/datagram.hpp"

#include <system_error>

#include "io/arrival.hpp"
#include "io/datagram_counters.hpp"
#include "io/reply_guard.hpp"

namespace socketserver {

Address Datagram::local_address() const {
    Address bound = socket().getsockname();
    if (arrival_.family == AddressFamily::none) return bound;
    return detail::destination_of(arrival_, bound.port());
}

void Datagram::set_source_proved(const Address& client_address) const noexcept {
    const detail::DatagramCounters* const counters =
        socket_ ? socket_->channel().datagrams : nullptr;
    if (counters == nullptr || counters->guard == nullptr) return;
    counters->guard->note_proved(client_address, detail::Clock::now());
}

void ReplyPath::send(std::string_view data) const {
    if (!socket_ || client_address_.empty()) {
        throw std::system_error(std::make_error_code(std::errc::destination_address_required),
                                "send a reply");
    }
    const bool is_told = arrival_.family != AddressFamily::none;
    socket_->send_datagram(data, client_address_, is_told ? &arrival_ : nullptr);
}

}  // namespace socketserver
