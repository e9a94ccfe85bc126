// SPDX-License-Identifier: MIT
#include "socketserver/datagram.hpp"

#include "io/arrival.hpp"

namespace socketserver {

Address Datagram::local_address() const {
    Address bound = socket().getsockname();
    if (arrival_.family == AddressFamily::none) return bound;
    return detail::destination_of(arrival_, bound.port());
}

}  // namespace socketserver
