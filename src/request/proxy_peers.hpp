// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "socketserver/address.hpp"
#include "socketserver/server_options.hpp"

namespace socketserver::detail {

/// Which connections of a server begin with a header of the PROXY protocol, by the address of their
/// other end: nothing has been read from them yet.
class ProxyPeers {
  public:
    enum class Answer : unsigned char {
        header,     ///< the header has to come
        no_header,  ///< what comes belongs to the handler
        refuse,     ///< nobody else may connect
    };

    /// @throws std::invalid_argument if a network is none, or none is given where one is needed.
    explicit ProxyPeers(const ServerOptions& options);

    bool is_off() const noexcept { return mode_ == ProxyProtocol::off; }
    /// From any thread.
    ///
    /// @throws std::bad_alloc
    Answer expect_from(const Address& peer) const;

    const std::chrono::nanoseconds timeout;

  private:
    const ProxyProtocol mode_;
    const std::vector<std::string> networks_;
};

}  // namespace socketserver::detail
