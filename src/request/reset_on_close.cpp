// SPDX-License-Identifier: MIT
#include "socketserver/detail/request/reset_on_close.hpp"

#include <sys/socket.h>

#include "os/sys.hpp"
#include "request/connection.hpp"
#include "socketserver/socket.hpp"

namespace socketserver::detail {

void reset_on_close(Socket& request) noexcept {
    if (Connection* record = request.channel().connection.get()) record->is_reset = true;
    // A failure leaves an orderly close, which refuses the client as well.
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    sys::calls.setsockopt(request.fileno(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

}  // namespace socketserver::detail
