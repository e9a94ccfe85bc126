// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

#include "socketserver/detail/io/channel.hpp"

// What Socket tells of the bytes of a server's connection, so that the server knows whether the
// client owes the next request, and for how long. Nothing happens for a socket of nobody's.
namespace socketserver::detail {

/// What to do about input that is not there yet.
enum class Input : unsigned char {
    wait,  ///< for it
    look,  ///< do not wait: the server is being drained, and the client owes the next request
};
/// Before receiving. `partial`: a part of the next request has been read and not used yet.
///
/// @throws DeadlineExceeded if the time of the request is over, also if there is input: a client
///         that is faster than its handler would never be waited for, and have no end.
Input before_receive(Channel& channel, bool partial);
/// Whether the client owes the next request.
bool is_idle(const Channel& channel) noexcept;
/// There was none, and none is waited for: the handler sees the end of the stream.
void ended_by_drain(Channel& channel) noexcept;
/// After recv(2) returned `result`, with its errno. Returns the result to go on with.
std::ptrdiff_t after_receive(Channel& channel, std::ptrdiff_t result);
/// Before sending.
///
/// @throws DeadlineExceeded if the time of the request is over.
void before_send(Channel& channel, std::string_view operation = "send");
std::ptrdiff_t after_send(Channel& channel, std::ptrdiff_t result);
/// The handler has the connection. Before, policies and hooks move it on its way; afterwards only
/// the handler does, to keep it.
void begin_handling(Channel& channel) noexcept;
/// What goes along when a socket is moved. A connection that its handler keeps is no longer the
/// server's: the record stays behind, to be counted out with the request, and nothing of the server
/// reaches the descriptor any more.
Channel give_away(Channel& channel) noexcept;

}  // namespace socketserver::detail
