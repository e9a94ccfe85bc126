// SPDX-License-Identifier: MIT
// What the Asio peers share: an acceptor of either family, made from a listening descriptor.
#pragma once

#include <boost/asio.hpp>
#include <cstring>

#include "../raw/common.h"

namespace peer {

namespace asio = boost::asio;
using Protocol = asio::generic::stream_protocol;
using Socket = Protocol::socket;
using Acceptor = asio::basic_socket_acceptor<Protocol>;
using boost::system::error_code;

inline Acceptor acceptor(asio::io_context& context, int argc, char** argv) {
    const int fd = listen_on(argc, argv);
    const Protocol protocol{is_unix_address(argv[1]) ? AF_UNIX : AF_INET, 0};
    return Acceptor{context, protocol, fd};
}

// The bytes up to the last newline among the `got` that arrived after `held`; 0 without any.
inline std::size_t complete_lines(const char* buffer, std::size_t held, std::size_t got) {
    const void* newline = memrchr(buffer + held, '\n', got);
    return newline == nullptr
               ? 0
               : static_cast<std::size_t>(static_cast<const char*>(newline) + 1 - buffer);
}

}  // namespace peer
