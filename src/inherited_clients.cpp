// SPDX-License-Identifier: MIT
#include "socketserver/detail/inherited_clients.hpp"

#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "sys.hpp"

namespace socketserver::detail {

namespace {

struct Name {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;

    /// False if the socket has no such name.
    template <class Get>
    bool get(Get get_name, int socket) {
        return get_name(socket, reinterpret_cast<sockaddr*>(&storage), &size) == 0;
    }
    bool operator==(const Name& other) const {
        return size == other.size && std::memcmp(&storage, &other.storage, size) == 0;
    }
    in_port_t port() const {
        return storage.ss_family == AF_INET
                   ? reinterpret_cast<const sockaddr_in&>(storage).sin_port
                   : reinterpret_cast<const sockaddr_in6&>(storage).sin6_port;
    }
    bool is_inet() const { return storage.ss_family == AF_INET || storage.ss_family == AF_INET6; }
    bool is_same_host(const Name& other) const {
        if (storage.ss_family != other.storage.ss_family) return false;
        if (storage.ss_family == AF_INET) {
            return reinterpret_cast<const sockaddr_in&>(storage).sin_addr.s_addr ==
                   reinterpret_cast<const sockaddr_in&>(other.storage).sin_addr.s_addr;
        }
        return std::memcmp(&reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr,
                           &reinterpret_cast<const sockaddr_in6&>(other.storage).sin6_addr,
                           sizeof(in6_addr)) == 0;
    }
};

int option(int socket, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    return ::getsockopt(socket, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

bool is_connected_to(int socket, int listening) {
    Name server;
    Name peer;
    Name self;
    if (!server.get(::getsockname, listening) || !peer.get(::getpeername, socket)) return false;
    if (peer == server) return true;
    // A server on all addresses is reached by any of them: it is this one if the connection does
    // not leave the machine.
    return server.is_inet() && peer.is_inet() && peer.port() == server.port() &&
           self.get(::getsockname, socket) && self.is_same_host(peer);
}

}  // namespace

void InheritedClients::find(int listening) {
    if (option(listening, SO_ACCEPTCONN) != 1) return;  // datagrams know no end
    const std::unique_ptr<DIR, int (*)(DIR*)> folder{::opendir("/proc/self/fd"), ::closedir};
    if (folder == nullptr) return;
    while (const dirent* entry = ::readdir(folder.get())) {
        const int socket = std::atoi(entry->d_name);
        if (socket == listening || option(socket, SO_TYPE) != SOCK_STREAM ||
            option(socket, SO_ACCEPTCONN) != 0) {
            continue;
        }
        Name peer;
        const bool may_connect = !peer.get(::getpeername, socket) && errno == ENOTCONN;
        if (may_connect || is_connected_to(socket, listening)) sockets_.push_back(socket);
    }
    close_connected(listening);
}

void InheritedClients::close_connected(int listening) noexcept {
    std::erase_if(sockets_, [listening](int socket) {
        if (!is_connected_to(socket, listening)) return false;
        sys::calls.close(socket);
        return true;
    });
}

}  // namespace socketserver::detail
