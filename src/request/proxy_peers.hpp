// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "socketserver/address.hpp"
#include "socketserver/server_options.hpp"

namespace socketserver::detail {

/// Decides which connections of a server begin with a header of the PROXY protocol. It uses only
/// the address of the peer, because nothing has been read from the connection yet.
class ProxyPeers {
  public:
    enum class Answer : unsigned char {
        header,     ///< the connection has to begin with a header
        no_header,  ///< all bytes belong to the handler
        refuse,     ///< this peer may not connect
    };

    /// @throws std::invalid_argument if a text is no network, or if no network is given and one is
    /// needed.
    explicit ProxyPeers(const ServerOptions& options);

    bool is_off() const noexcept { return mode_ == ProxyProtocol::off; }
    /// May be called from any thread.
    ///
    /// @throws std::bad_alloc
    Answer expect_from(const Address& peer) const;

    const std::chrono::nanoseconds timeout;

  private:
    const ProxyProtocol mode_;
    const std::vector<std::string> networks_;
};

}  // namespace socketserver::detail
