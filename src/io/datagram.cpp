// SPDX-License-Identifier: MIT
#include "socketserver/datagram.hpp"

#include <system_error>

#include "io/arrival.hpp"

namespace socketserver {

Address Datagram::local_address() const {
    Address bound = socket().getsockname();
    if (arrival_.family == AddressFamily::none) return bound;
    return detail::destination_of(arrival_, bound.port());
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
