// SPDX-License-Identifier: MIT
// Datagram echo on Asio with callbacks. The reply is sent at once: a datagram that the kernel does
// not take is lost anyway.
#include <array>
#include <utility>  // Asio 1.74 forgets it

#include <boost/asio.hpp>

#include "../raw/common.h"

namespace {

namespace asio = boost::asio;
using asio::ip::udp;
using boost::system::error_code;

std::array<char, 64 * 1024> buffer;
udp::endpoint peer;

void receive(udp::socket& socket) {
    socket.async_receive_from(asio::buffer(buffer), peer, [&](error_code error, std::size_t got) {
        if (!error) socket.send_to(asio::buffer(buffer, got), peer, 0, error);
        receive(socket);
    });
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    const int fd = bind_to(argv[1], SOCK_DGRAM);
    asio::io_context context{1};
    udp::socket socket{context, udp::v4(), fd};
    socket.non_blocking(true);
    announce(fd, argv[1]);
    receive(socket);
    context.run();
}
