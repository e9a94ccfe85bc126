// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <memory>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/detail/os/thread_group.hpp"
#include "socketserver/detail/request/connection.hpp"
#include "socketserver/detail/request/record_access.hpp"
#include "socketserver/detail/server/server_link.hpp"

namespace socketserver::detail {

/// A request on its way to a thread that serves it. Owns the request.
template <class Server, class Request>
struct ServeJob final : Job {
    ServeJob(Server& of, std::shared_ptr<ServerLink> to, Request&& what, Address&& who)
        : server{of},
          link{std::move(to)},
          request{std::move(what)},
          client_address{std::move(who)} {}

    void run() override {
        if (link == nullptr) {
            server.serve_request(request, client_address);
            return;
        }
        const ServerPin pin{*link, ServerPin::Of::request};
        if (pin) {
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

/// Makes the job of a request and gives it to `run`. What cannot be had for it, memory or a thread,
/// costs this request: it is failed, wherever it is by then.
///
/// @param link null, or of a server that the job may outlive.
template <class Server, class Request, class Run>
void give_to_thread(Server& server, std::shared_ptr<ServerLink> link, Request& request,
                    Address& client_address, Run run) {
    std::unique_ptr<Job> job;
    ServeJob<Server, Request>* content = nullptr;
    try {
        auto serve = std::make_unique<ServeJob<Server, Request>>(
            server, std::move(link), std::move(request), std::move(client_address));
        content = serve.get();
        job = std::move(serve);
        run(job);
    } catch (...) {
        // The memory is taken before anything is moved.
        if (content == nullptr) {
            server.fail_request(request, client_address, std::current_exception());
        } else {
            server.fail_request(content->request, content->client_address,
                                std::current_exception());
        }
    }
}

}  // namespace socketserver::detail
