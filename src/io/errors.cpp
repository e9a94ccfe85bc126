// SPDX-License-Identifier: MIT
#include "socketserver/errors.hpp"

#include <netdb.h>

#include <utility>

namespace socketserver {

TimeoutError::TimeoutError(const std::string& operation)
    : std::system_error(std::make_error_code(std::errc::timed_out), operation) {}
TimeoutError::~TimeoutError() = default;

IdleTimeout::IdleTimeout(const std::string& operation)
    : TimeoutError(operation + ": the client sent no request") {}
IdleTimeout::~IdleTimeout() = default;

DeadlineExceeded::DeadlineExceeded(const std::string& operation)
    : TimeoutError(operation + ": the request lasts too long") {}
DeadlineExceeded::~DeadlineExceeded() = default;

Cancelled::Cancelled(const std::string& operation)
    : std::system_error(std::make_error_code(std::errc::operation_canceled), operation) {}
Cancelled::~Cancelled() = default;

LineTooLong::LineTooLong(std::size_t limit)
    : std::length_error("readline: no end of line within " + std::to_string(limit) + " bytes") {}
LineTooLong::~LineTooLong() = default;

FinishError::FinishError(const std::string& text, std::exception_ptr of_finish)
    : std::runtime_error(text), of_finish_{std::move(of_finish)} {}
FinishError::~FinishError() = default;

namespace {
class ResolverCategory final : public std::error_category {
    const char* name() const noexcept override { return "resolver"; }
    std::string message(int code) const override { return ::gai_strerror(code); }
};
}  // namespace

const std::error_category& resolver_category() noexcept {
    static const ResolverCategory category;
    return category;
}

}  // namespace socketserver
