// SPDX-License-Identifier: MIT
// Line echo on Asio with callbacks.
#include <memory>

#include "asio_session.hpp"

namespace {

using namespace peer;

void accept(Acceptor& acceptor) {
    acceptor.async_accept([&acceptor](error_code error, Socket socket) {
        if (!error) std::make_shared<Session<Socket>>(std::move(socket))->read();
        accept(acceptor);
    });
}

}  // namespace

int main(int argc, char** argv) {
    asio::io_context context{1};
    Acceptor listener = acceptor(context, argc, argv);
    accept(listener);
    context.run();
}
