// SPDX-License-Identifier: MIT
#include "server/accept_error.hpp"

#include <cerrno>

namespace socketserver::detail {

AcceptAction classify_accept_error(int error) noexcept {
    switch (error) {
        case EAGAIN:
            return AcceptAction::nothing_there;

        // The client gave up before it was accepted, or Linux reports a network error of the new
        // connection here (accept(2): "should be treated like EAGAIN by retrying").
        case EINTR:
        case ECONNABORTED:
        case ECONNRESET:
        case ECONNREFUSED:  // a datagram socket: nobody received an earlier reply
        case EPROTO:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case ENETUNREACH:
        case ETIMEDOUT:
            return AcceptAction::retry;

        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            return AcceptAction::back_off;

        case EBADF:
        case EINVAL:
        case ENOTSOCK:
        case EFAULT:
            return AcceptAction::fatal;

        default:  // EPERM of a firewall, EOPNOTSUPP, or an error of the user's get_request()
            return AcceptAction::report;
    }
}

}  // namespace socketserver::detail
