// SPDX-License-Identifier: MIT
#include "server/accept_error.hpp"

#include <cerrno>

#include "support/catch.hpp"

using socketserver::detail::AcceptAction;
using socketserver::detail::classify_accept_error;

TEST_CASE("nobody is there") {
    CHECK(classify_accept_error(EAGAIN) == AcceptAction::nothing_there);
}

TEST_CASE("the connection is gone, the next one may be there") {
    const int error =
        GENERATE(EINTR, ECONNABORTED, ECONNRESET, ECONNREFUSED, EPROTO, ENETDOWN, ENOPROTOOPT,
                 EHOSTDOWN, ENONET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT);
    CAPTURE(error);
    CHECK(classify_accept_error(error) == AcceptAction::retry);
}

TEST_CASE("the system is out of something") {
    const int error = GENERATE(EMFILE, ENFILE, ENOBUFS, ENOMEM);
    CAPTURE(error);
    CHECK(classify_accept_error(error) == AcceptAction::back_off);
}

TEST_CASE("the socket can never accept") {
    const int error = GENERATE(EBADF, EINVAL, ENOTSOCK, EFAULT);
    CAPTURE(error);
    CHECK(classify_accept_error(error) == AcceptAction::fatal);
}

TEST_CASE("what nobody expects is reported, and is not the end") {
    const int error = GENERATE(EPERM, EOPNOTSUPP, EACCES, ENOSYS, 0, 12345);
    CAPTURE(error);
    CHECK(classify_accept_error(error) == AcceptAction::report);
}
