// SPDX-License-Identifier: MIT
// Line echo on Asio with stackful coroutines (asio::spawn).
// Before Boost 1.80, Asio itself uses Boost.Coroutine.
#define BOOST_COROUTINES_NO_DEPRECATION_WARNING
#include <boost/asio/spawn.hpp>
#include <boost/version.hpp>
#include <utility>
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

template <class Function>
void spawn(asio::io_context& context, Function function) {
#if BOOST_VERSION >= 108000
    asio::spawn(context, std::move(function), asio::detached);
#else
    asio::spawn(context, std::move(function));
#endif
}

}  // namespace

int main(int argc, char** argv) {
    asio::io_context context{1};
    Acceptor listener = acceptor(context, argc, argv);
    spawn(context, [&](asio::yield_context yield) {
        for (;;) {
            error_code error;
            Socket socket{context};
            listener.async_accept(socket, yield[error]);
            if (error) continue;
            spawn(context, [socket = std::move(socket)](asio::yield_context inner) mutable {
                serve(std::move(socket), inner);
            });
        }
    });
    context.run();
}
