// SPDX-License-Identifier: MIT
#pragma once

#include "socketserver/policy.hpp"

namespace socketserver {

/// Serves each request in the serving thread, one after the other: the default policy.
///
/// A request that takes long keeps all others waiting; the server is deaf meanwhile. In exchange,
/// nothing needs a lock. It is what Python's servers do without a mixin.
template <class Server>
class SynchronousMixIn : public Policy {
  protected:
    /// Serves a request; called by process_request().
    void dispatch(auto&& request, auto&& client_address) {
        static_cast<Server&>(*this).serve_request(request, client_address);
    }
};

}  // namespace socketserver
