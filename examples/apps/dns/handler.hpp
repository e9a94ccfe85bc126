// SPDX-License-Identifier: MIT
#pragma once

#include <socketserver/socketserver.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "zones.hpp"

namespace dns {

namespace ss = socketserver;

struct Site {
    Zones zones;
    std::vector<std::string> transfer_to;  ///< networks whose clients get whole zones
};

/// What a query is answered by: `send` is called with each message of the answer, once, or several
/// times for a transfer, or not at all for what is no query.
void answer(const Site& site, const ss::Address& client, std::string_view query, bool is_stream,
            const std::function<void(std::string_view)>& send);

/// Serves a connection, or a datagram, by what it derives from.
// [handler]
template <class Base>
class Handler : public Base {
  public:
    explicit Handler(const Site& site) : site_{site} {
        if constexpr (is_stream) this->wbufsize = -1;  // size and message go out together
    }

  private:
    static constexpr bool is_stream = std::is_base_of_v<ss::StreamRequestHandler, Base>;

    void handle() override {
        if constexpr (is_stream) {
            while (!this->rfile().peek().empty()) {
                const auto size = this->rfile().template read_integer<std::uint16_t>();
                reply_to(this->rfile().read_exactly(size));
            }
        } else {
            reply_to(this->rfile().read());
        }
    }
    void reply_to(const std::string& query) {
        answer(site_, this->client_address(), query, is_stream, [&](std::string_view message) {
            if constexpr (is_stream) {
                this->wfile().template write_integer<std::uint16_t>(message.size());
            }
            this->wfile().write(message);
        });
    }

    const Site& site_;
};
// [handler]

}  // namespace dns
