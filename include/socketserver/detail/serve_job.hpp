// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/detail/connection.hpp"
#include "socketserver/detail/record_access.hpp"
#include "socketserver/detail/server_link.hpp"
#include "socketserver/detail/thread_group.hpp"

namespace socketserver::detail {

/// A request on its way to a thread that serves it. Owns the request.
template <class Server, class Request>
struct ServeJob final : Job {
    /// A daemon's job may outlive the server.
    ServeJob(Server& of, bool is_daemon, Request&& what, Address&& who)
        : server{of},
          link{is_daemon ? of.link() : nullptr},
          request{std::move(what)},
          client_address{std::move(who)} {}

    void run() override {
        if (link == nullptr) {
            server.serve_request(request, client_address);
            return;
        }
        const DaemonUse use{std::move(link)};
        if (use) {
            server.serve_request(request, client_address);
        } else {
            note_cancelled(RecordAccess::of(request));
        }
    }

    Server& server;
    std::shared_ptr<ServerLink> link;  // null: the server outlives the request
    Request request;
    Address client_address;
};

}  // namespace socketserver::detail
