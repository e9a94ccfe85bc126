// SPDX-License-Identifier: MIT
// WebSocket (RFC 6455) by Boost.Beast, which reads and writes a connection of the library.
#pragma once

#include <socketserver/socketserver.hpp>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace chat {

namespace ss = socketserver;

/// The head of a request.
struct Head {
    std::string method, target, host;
    std::string origin;       ///< of the page that asks, "https://host"; empty: it is none
    bool is_upgrade = false;  ///< to WebSocket
};

/// Nothing if it is none.
std::optional<Head> parse_head(std::string_view text);

/// The server's end of a WebSocket. Used by one thread or fiber, which reads and writes. What the
/// library throws passes through.
class WebSocket {
  public:
    /// Reader and writer must outlive the object.
    WebSocket(ss::BufferedReader& reader, ss::BufferedWriter& writer, std::size_t longest_message);
    ~WebSocket();

    /// Answers the request whose head this is. False: it asks for what cannot be, which the client
    /// was told.
    bool accept(std::string_view head);
    /// The next message, or nothing when the client has closed the WebSocket, has gone, or has sent
    /// what it must not. Nothing of what follows the message is taken from the reader, so that
    /// select() sees it there. Answers pings.
    std::optional<std::string> read();
    /// Sends text in UTF-8.
    void write(std::string_view text);
    /// Tells the client that the server goes.
    void go_away();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace chat
