// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/detail/export.hpp"

namespace socketserver::detail {

/// What to do when accept(2), or receiving a datagram, failed.
enum class AcceptAction : unsigned char {
    nothing_there,  ///< there is no request after all
    retry,          ///< that connection is gone; the next one may be there
    back_off,       ///< out of descriptors or memory: pause, because otherwise the loop would spin
    report,         ///< unexpected: report it, pause, go on
    fatal,          ///< no connection can ever be accepted on this socket
};

SOCKETSERVER_EXPORT AcceptAction classify_accept_error(int error) noexcept;

}  // namespace socketserver::detail
