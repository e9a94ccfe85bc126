// SPDX-License-Identifier: MIT
// The two sides of a TLS connection.
#pragma once

#include "socketserver/tls.hpp"
#include "support/certificates.hpp"
#include "support/connected_sockets.hpp"
#include "support/serving.hpp"

namespace socketserver::tests {

/// An authority, a server that it vouches for, and a client that trusts it.
struct Contexts {
    Certificate authority = make_authority();
    SSLContext server{TLSPurpose::server};
    SSLContext client{TLSPurpose::client};

    Contexts() {
        const Certificate own = make_certificate({}, &authority);
        server.load_cert_chain_from_memory(pem_of(own), key_pem_of(own));
        client.load_verify_locations_from_memory(pem_of(authority));
    }
    Socket connect(const Address& address) const {
        return create_connection(address, client, patience, "localhost");
    }
};

}  // namespace socketserver::tests
