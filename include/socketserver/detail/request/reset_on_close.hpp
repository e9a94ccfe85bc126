// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/detail/export.hpp"

namespace socketserver {
class Datagram;
class Socket;
}  // namespace socketserver

namespace socketserver::detail {

/// Makes the close of a connection a reset: the client sees at once that it was refused, and the
/// kernel keeps nothing of it.
SOCKETSERVER_EXPORT void reset_on_close(Socket& request) noexcept;
inline void reset_on_close(Datagram&) noexcept {}

}  // namespace socketserver::detail
