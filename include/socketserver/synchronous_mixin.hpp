// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/policy.hpp"

namespace socketserver {

/// Serves each request in the serving thread, one after the other: the default policy.
///
/// While a request is being served, all other requests wait in the kernel. In exchange, handlers
/// need no locks. Python's servers do the same without a mixin.
///
/// Thread safety: handlers run in the threads that are in serve_forever(), normally one.
template <class Server>
class SynchronousMixIn : public Policy {
  protected:
    /// Serves a request; called by process_request().
    void dispatch(auto&& request, auto&& client_address) {
        static_cast<Server&>(*this).serve_request(request, client_address);
    }
};

}  // namespace socketserver
