// SPDX-License-Identifier: MIT
// Line echo on Asio's ssl::stream with callbacks: "peer_asio_tls PORT PEM", a file with a
// certificate and its key.
#include <boost/asio/ssl.hpp>
#include <memory>

#include "asio_session.hpp"

namespace {

using namespace peer;

using TlsSession = Session<asio::ssl::stream<Socket>>;

void start(const std::shared_ptr<TlsSession>& session) {
    session->stream().async_handshake(asio::ssl::stream_base::server, [session](error_code error) {
        if (!error) session->read();
    });
}

void accept(Acceptor& acceptor, asio::ssl::context& context) {
    acceptor.async_accept([&](error_code error, Socket socket) {
        if (!error) start(std::make_shared<TlsSession>(std::move(socket), context));
        accept(acceptor, context);
    });
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    asio::ssl::context ssl{asio::ssl::context::tls_server};
    ssl.use_certificate_chain_file(argv[2]);
    ssl.use_private_key_file(argv[2], asio::ssl::context::pem);
    SSL_CTX_set_mode(ssl.native_handle(), SSL_MODE_RELEASE_BUFFERS);
    asio::io_context context{1};
    Acceptor listener = acceptor(context, 2, argv);
    accept(listener, ssl);
    context.run();
}
