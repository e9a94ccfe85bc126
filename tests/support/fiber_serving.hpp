// SPDX-License-Identifier: MIT
// A fiber server whose handlers run a function of the test.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "socketserver/fiber.hpp"
#include "support/serving.hpp"

namespace socketserver::tests {

/// Runs a function of the test in each request's fiber.
class Calling : public StreamRequestHandler {
  public:
    explicit Calling(std::function<void(Calling&)> function) : function_{std::move(function)} {}
    using StreamRequestHandler::client_address;
    using StreamRequestHandler::request;
    using StreamRequestHandler::rfile;
    using StreamRequestHandler::server;
    using StreamRequestHandler::timeout;
    using StreamRequestHandler::wfile;

  private:
    void handle() override { function_(*this); }
    std::function<void(Calling&)> function_;
};

/// A server of such handlers that records the errors instead of printing them.
class CallingServer : public FiberTCPServer<Calling> {
  public:
    explicit CallingServer(std::function<void(Calling&)> function, unsigned worker_count = 1)
        : FiberTCPServer<Calling>{{"127.0.0.1", 0}, {}, [function] { return Calling{function}; }} {
        workers = worker_count;
    }
    ~CallingServer() override { server_close(); }

    std::vector<std::string> errors() {
        const std::lock_guard lock{mutex_};
        return errors_;
    }

  private:
    void handle_error(Socket&, const Address&, std::exception_ptr error) override {
        const std::lock_guard lock{mutex_};
        try {
            std::rethrow_exception(error);
        } catch (const TimeoutError&) {
            errors_.emplace_back("timeout");
        } catch (const Cancelled&) {
            errors_.emplace_back("cancelled");
        } catch (const std::exception& other) {
            errors_.emplace_back(other.what());
        }
    }
    std::mutex mutex_;
    std::vector<std::string> errors_;
};

/// Runs one function in a fiber of a server with one worker.
inline void in_fiber(const std::function<void()>& function, std::size_t stack_size = 256 * 1024) {
    std::exception_ptr error;
    CallingServer server{[&](Calling& handler) {
        try {
            function();
        } catch (...) {
            error = std::current_exception();
        }
        handler.wfile().write("done\n");
    }};
    server.stack_size = stack_size;
    ServingThread serving{server};
    Socket client = connect(server.server_address());
    read_to_end(client);
    serving.stop();
    if (error) std::rethrow_exception(error);
}

}  // namespace socketserver::tests
