// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

#include "socketserver/detail/io/channel.hpp"

// What a Socket tells the request that it belongs to: that it is about to receive or send, and what
// came of it. From that the server knows whether the client owes the next request, and since when.
// For a socket that belongs to no request these functions do nothing. They are implemented one
// floor above, in src/request.
namespace socketserver::detail {

/// What a receive does if no input is there yet.
enum class Input : unsigned char {
    wait,  ///< it waits
    look,  ///< it does not wait: the server is being drained, and the client owes the next request
};
/// Called before receiving. `partial` says that a part of the next request has been read and not
/// used yet.
///
/// @throws DeadlineExceeded if the time of the request is over, even if there is input. Otherwise a
///         request would never end if its client always sends faster than the handler reads.
Input before_receive(Channel& channel, bool partial);
/// Whether the client owes the next request.
bool is_idle(const Channel& channel) noexcept;
/// Called when there was no input after Input::look: the handler will see the end of the stream.
void ended_by_drain(Channel& channel) noexcept;
/// Called after recv(2) has returned `result`, with its errno. Returns the result that the handler
/// is to see.
std::ptrdiff_t after_receive(Channel& channel, std::ptrdiff_t result);
/// Called instead of after_receive() by a caller that has waited for input and for something else,
/// and has received nothing. Called whatever before_receive() has returned. Does not change errno.
void after_wait(const Channel& channel) noexcept;
/// Called before sending.
///
/// @throws DeadlineExceeded if the time of the request is over.
void before_send(Channel& channel, std::string_view operation = "send");
std::ptrdiff_t after_send(Channel& channel, std::ptrdiff_t result);
/// Called when a socket is moved. Returns the channel of the new socket. If a handler moves its
/// connection to keep it, the connection is no longer the server's: its record stays with the old
/// socket and ends with the request, and the server can no longer reach the descriptor.
Channel give_away(Channel& channel) noexcept;

}  // namespace socketserver::detail
