// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "socketserver/address.hpp"

namespace socketserver::detail {

struct ReceivedDatagram {
    std::string data;  ///< as large as what came
    bool truncated;
    Address from;  ///< empty: of a Unix sender without a name
};

/// Takes a datagram, of which at most `size` bytes are kept. Does not wait. Nothing: errno says
/// why, EAGAIN if none is there.
std::optional<ReceivedDatagram> receive_datagram(int descriptor, std::size_t size);

}  // namespace socketserver::detail
