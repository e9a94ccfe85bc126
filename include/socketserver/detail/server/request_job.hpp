// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include "socketserver/address.hpp"
#include "socketserver/detail/os/forced_unwind.hpp"
#include "socketserver/detail/os/thread_group.hpp"
#include "socketserver/detail/request/connection.hpp"
#include "socketserver/detail/request/server_link.hpp"

namespace socketserver::detail {

/// A job that serves a request outside of the serving thread: in another thread, possibly after a
/// wait in a queue, or in a fiber.
class SOCKETSERVER_EXPORT RequestJob : public Job {
  public:
    using Job::Job;
    /// Ends the request because nobody can serve it. Does not throw.
    virtual void fail(std::exception_ptr error) = 0;
    virtual const Address& client_address() const noexcept = 0;

    RequestJob* next = nullptr;  ///< in a queue of them
};

/// A request on its way to the thread or fiber that serves it. Owns the request.
template <class Server, class Request>
class ServeJob final : public RequestJob {
  public:
    ServeJob(Server& server, Request&& request, Address&& client_address, bool may_outlive_server)
        : RequestJob{may_outlive_server},
          server_{server},
          request_{std::move(request)},
          client_address_{std::move(client_address)} {}

    void run() override {
        if (!is_daemon()) {
            server_.serve_request(request_, client_address_);
            return;
        }
        Connection* const record = record_of(request_).get();
        ServerPin pin{*record};
        if (pin) {
            server_.serve_request(request_, client_address_, &pin);
        } else {
            note_cancelled(record);
        }
    }
    void fail(std::exception_ptr error) override {
        server_.fail_request(request_, client_address_, error);
    }
    const Address& client_address() const noexcept override { return client_address_; }

  private:
    Server& server_;  // exists only while it is pinned, if the request may outlive it
    Request request_;
    Address client_address_;
};

/// Makes the job of a request and gives it to `run`. If there is no memory or no thread for it,
/// only this request fails: fail_request() is called for the socket, or fail() for the job that has
/// taken it over.
///
/// @tparam As what `run` takes: Job or RequestJob.
template <class As, class Server, class Request, class Run>
void hand_over(Server& server, Request& request, Address& client_address, bool may_outlive_server,
               Run run) {
    std::unique_ptr<As> job;
    RequestJob* made = nullptr;
    try {
        auto serve = std::make_unique<ServeJob<Server, Request>>(
            server, std::move(request), std::move(client_address), may_outlive_server);
        made = serve.get();
        job = std::move(serve);
        run(job);
    } catch (...) {
        rethrow_forced_unwind();
        // The memory is allocated before anything is moved, because that may fail.
        if (made == nullptr) {
            server.fail_request(request, client_address, std::current_exception());
        } else {
            made->fail(std::current_exception());
        }
    }
}

}  // namespace socketserver::detail
