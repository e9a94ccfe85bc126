// SPDX-License-Identifier: MIT
// A small server beside the one that serves, for those who run it.
#pragma once

#include <fmt/format.h>
#include <socketserver/prometheus.hpp>  // for the names of reasons
#include <socketserver/socketserver.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <thread>

#include "../../admin_handler.hpp"

namespace apps {

namespace ss = socketserver;

/// Serves /metrics, /healthz, /readyz and /connections on the loopback interface, in a thread of
/// its own, as long as it lives.
class Admin {
  public:
    Admin(const ss::ServerBase& watched, std::uint16_t port)
        : server_{{"localhost", port},
                  {.allow_reuse_address = true, .request_timeout = std::chrono::seconds{1}},
                  [&watched] { return AdminHandler{watched}; }},
          serving_{[this] { server_.serve_forever(); }} {
        fmt::print(stderr, "admin on {}\n", server_.server_address());
    }
    Admin(const Admin&) = delete;
    Admin& operator=(const Admin&) = delete;
    ~Admin() { server_.shutdown(); }

  private:
    ss::TCPServer<AdminHandler> server_;
    std::jthread serving_;
};

/// Says who has gone, why, and how long that client was here.
template <class Server>
class ConnectionLog : public Server {
  public:
    using Server::Server;
    ~ConnectionLog() override { this->server_close(); }

    bool logs_connections = false;

  protected:
    void connection_closed(const ss::Address& client_address, ss::CloseReason reason,
                           std::chrono::nanoseconds duration) override {
        if (!logs_connections) return;
        fmt::print(stderr, "{} {} after {:.3f} s\n", client_address, ss::to_string(reason),
                   std::chrono::duration<double>{duration}.count());
    }
};

}  // namespace apps
