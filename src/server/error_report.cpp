// SPDX-License-Identifier: MIT
#include "server/error_report.hpp"

#include <cxxabi.h>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <typeinfo>

#include "os/no_sigpipe.hpp"
#include "socketserver/address.hpp"
#include "socketserver/detail/request/connection.hpp"
#include "socketserver/detail/server/report.hpp"
#include "socketserver/errors.hpp"
#include "socketserver/socket.hpp"

namespace socketserver::detail {

namespace {

/// Takes away the inline namespace of libc++ that users do not write: "std::__1::system_error".
std::string without_abi_namespace(std::string name) {
    constexpr std::string_view as_compiled = "std::__1::";
    constexpr std::string_view as_written = "std::";
    for (auto at = name.find(as_compiled); at != name.npos; at = name.find(as_compiled, at)) {
        name.replace(at, as_compiled.size(), as_written);
    }
    return name;
}

std::string current_exception_type() {
    const std::type_info* type = abi::__cxa_current_exception_type();
    if (type == nullptr) return "unknown exception";
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> name{
        abi::__cxa_demangle(type->name(), nullptr, nullptr, &status), std::free};
    return status == 0 ? without_abi_namespace(name.get()) : type->name();
}

/// Returns the exception that is nested in `error`, or null. It does not use dynamic_cast, because
/// the class of an exception from a program without RTTI has no information about its bases. A
/// catch clause finds them.
std::exception_ptr nested_in(const std::exception_ptr& error) noexcept {
    try {
        std::rethrow_exception(error);
    } catch (const std::nested_exception& outer) {
        return outer.nested_ptr();
    } catch (...) {
        return nullptr;
    }
}

void describe(const std::exception_ptr& error, std::string& text) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& exception) {
        text += fmt::format("{}: {}\n", current_exception_type(), exception.what());
    } catch (...) {
        text += current_exception_type() + '\n';
    }
    if (const std::exception_ptr nested = nested_in(error)) {
        text += "  caused by ";
        describe(nested, text);
    }
}

}  // namespace

void print_error(std::string_view headline, const Address& address,
                 std::exception_ptr error) noexcept {
    try {
        std::string text = fmt::format("{:-<40}\n{}{}\n", "", headline, address);
        describe(error, text);
        text += fmt::format("{:-<40}\n", "");
        const NoSigpipe no_sigpipe;
        std::fwrite(text.data(), 1, text.size(), stderr);
    } catch (...) {  // out of memory, for example: one line is printed, which needs none
        const NoSigpipe no_sigpipe;
        std::fputs("socketserver: an exception could not be described\n", stderr);
    }
}

namespace {

bool tells_that_peer_is_gone(const std::error_code& code) {
    return code == std::errc::connection_reset || code == std::errc::broken_pipe ||
           code == std::errc::connection_aborted || code == std::errc::not_connected;
}

/// Whether the exception only means that the server stops, or that this client has gone. If a
/// handler has wrapped such an exception in another one, the nested one decides. A FinishError has
/// two exceptions, and either may be a failure. `is_of_client` checks the error code of a single
/// exception.
template <class IsOfClient>
bool is_no_failure(const std::exception_ptr& error, IsOfClient is_of_client) {
    if (!error) return false;
    try {
        std::rethrow_exception(error);
    } catch (const Cancelled&) {
        return true;
    } catch (const HandshakeError& failure) {
        return failure.server_side();
    } catch (const ProxyHeaderError&) {
        return true;
    } catch (const FinishError& both) {
        return is_no_failure(both.of_finish(), is_of_client) &&
               is_no_failure(both.nested_ptr(), is_of_client);
    } catch (const std::system_error& failure) {
        if (is_of_client(failure.code())) return true;
    } catch (...) {
        // The nested exception decides.
    }
    return is_no_failure(nested_in(error), is_of_client);
}

void print_request_error(const Address& client_address, std::exception_ptr error) {
    print_error("Exception occurred during processing of request from ", client_address, error);
}

}  // namespace

void report_request_error(const Socket& request, const Address& client_address,
                          std::exception_ptr error) {
    // If another connection was reset, for example one to a database, that is a failure and is
    // reported.
    const auto is_of_client = [&](const std::error_code& code) {
        return request.peer_gone() && tells_that_peer_is_gone(code);
    };
    if (is_no_failure(error, is_of_client)) return;
    print_request_error(client_address, error);
}

void report_request_error(const Datagram& request, const Address& client_address,
                          std::exception_ptr error) {
    // A client that has gone or does not read its replies is not reported, because it could fill a
    // log.
    const int undelivered = detail::undelivered(request);
    const auto is_of_client = [&](const std::error_code& code) {
        return undelivered != 0 && code == static_cast<std::errc>(undelivered);
    };
    if (is_no_failure(error, is_of_client)) return;
    print_request_error(client_address, error);
}

}  // namespace socketserver::detail
