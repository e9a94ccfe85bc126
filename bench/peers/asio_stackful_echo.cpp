// SPDX-License-Identifier: MIT
// Line echo on Asio with stackful coroutines (asio::spawn).
#include <boost/asio/spawn.hpp>
#include <vector>

#include "asio_common.hpp"

namespace {

using namespace peer;

void serve(Socket socket, const asio::yield_context& yield) {
    std::vector<char> buffer(4096);
    std::size_t held = 0;
    error_code error;
    for (;;) {
        if (held == buffer.size()) buffer.resize(2 * buffer.size());
        const std::size_t got = socket.async_read_some(asio::buffer(buffer) + held, yield[error]);
        if (error) return;
        const std::size_t complete = complete_lines(buffer.data(), held, got);
        held += got;
        if (complete == 0) continue;
        asio::async_write(socket, asio::buffer(buffer.data(), complete), yield[error]);
        if (error) return;
        held -= complete;
        if (held > 0) std::memmove(buffer.data(), buffer.data() + complete, held);
    }
}

}  // namespace

int main(int argc, char** argv) {
    asio::io_context context{1};
    Acceptor listener = acceptor(context, argc, argv);
    asio::spawn(
        context,
        [&](asio::yield_context yield) {
            for (;;) {
                error_code error;
                Socket socket{context};
                listener.async_accept(socket, yield[error]);
                if (error) continue;
                asio::spawn(
                    context,
                    [socket = std::move(socket)](asio::yield_context inner) mutable {
                        serve(std::move(socket), inner);
                    },
                    asio::detached);
            }
        },
        asio::detached);
    context.run();
}
