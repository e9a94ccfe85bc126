// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/detail/io/channel.hpp"

namespace socketserver::detail {

/// One of the waits that BlockingIo::wait_any() makes at once.
struct ChannelWait {
    enum class For : unsigned char {
        input,    ///< a receive may succeed, or would report the end of the stream
        output,   ///< a send may succeed, or would report an error
        hang_up,  ///< both directions are over, or the connection is broken
    };

    Channel* channel = nullptr;
    For what = For::input;
    bool is_ready = false;  ///< the result
    /// @name What the carrier keeps while it waits
    /// @{
    void* waiter = nullptr;                ///< which of its fibers waits
    Registration* registration = nullptr;  ///< null: it has ended, because the channel was closed
    ChannelWait* next = nullptr;           ///< in the list of the registration
    /// @}
};

}  // namespace socketserver::detail
