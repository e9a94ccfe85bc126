// SPDX-License-Identifier: MIT
// A server whose handlers do what the test says.
#pragma once

#include <functional>
#include <utility>

#include "support/serving.hpp"

namespace socketserver::tests {

/// Does what the test says in handle(), then echoes one line.
class ActingHandler : public StreamRequestHandler {
  public:
    using Action = std::function<void(ServerBase&)>;
    explicit ActingHandler(const Action& action) : action_{action} {}

  private:
    void handle() override {
        action_(server());
        wfile().write(rfile().readline());
    }
    const Action& action_;
};

template <template <class> class MixIn>
struct ActingServer {
    explicit ActingServer(ActingHandler::Action what)
        : action{std::move(what)}, server{any_port, {}, [this] { return ActingHandler{action}; }} {}

    ActingHandler::Action action;
    TCPServer<ActingHandler, MixIn> server;
};

}  // namespace socketserver::tests
