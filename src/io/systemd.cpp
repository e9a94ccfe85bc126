// SPDX-License-Identifier: MIT
#include "socketserver/systemd.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "io/passed_descriptors.hpp"
#include "io/service_manager.hpp"
#include "io/sockaddr.hpp"
#include "os/no_sigpipe.hpp"
#include "os/successor.hpp"
#include "os/sys.hpp"
#include "os/system_error.hpp"
#include "socketserver/address.hpp"

namespace socketserver::systemd {

namespace {

namespace sys = detail::sys;

constexpr int first_descriptor = 3;
constexpr const char* listen_pid = "LISTEN_PID";
constexpr const char* listen_count = "LISTEN_FDS";
constexpr const char* listen_names = "LISTEN_FDNAMES";

/// The number in an environment variable, or nothing if it is not set.
template <class Number>
std::optional<Number> number_in(const char* variable) {
    const char* const value = std::getenv(variable);
    if (value == nullptr) return {};
    const std::string_view text = value;
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number < 0) {
        throw std::system_error(
            std::make_error_code(std::errc::invalid_argument),
            std::string{variable} + "=" + value + " in the environment is no number");
    }
    return number;
}

/// The descriptor to the version of this program that this one replaces; -1 if there is none, or if
/// it has been told already.
constinit std::atomic<int> ready_descriptor{-1};

constinit std::atomic<bool> has_left_service{false};

void take_over(int descriptor) {
    if (sys::set_close_on_exec(descriptor) == -1) {
        detail::throw_system_error("take over the passed descriptor " + std::to_string(descriptor));
    }
}

/// Returns whether there was an older version to tell.
bool tell_predecessor() {
    const int descriptor = ready_descriptor.exchange(-1);
    if (descriptor == -1) return false;
    const Socket pipe{descriptor};
    const detail::NoSigpipe no_sigpipe;
    // This fails if the old version has given up this one. It has then killed this process, or is
    // about to.
    const char ready = 'r';
    if (sys::retry_on_eintr([&] { return ::write(descriptor, &ready, 1); }) == -1) {
        detail::throw_system_error("tell the old version that this one is ready");
    }
    return true;
}

bool says_ready(std::string_view state) {
    for (;;) {
        const std::size_t end = state.find('\n');
        if (state.substr(0, end) == "READY=1") return true;
        if (end == std::string_view::npos) return false;
        state.remove_prefix(end + 1);
    }
}

std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> parts;
    for (std::size_t colon = 0; colon != std::string_view::npos;) {
        colon = text.find(':');
        parts.emplace_back(text.substr(0, colon));
        if (colon != std::string_view::npos) text.remove_prefix(colon + 1);
    }
    return parts;
}

}  // namespace
}  // namespace socketserver::systemd

void socketserver::detail::leave_service() noexcept { systemd::has_left_service = true; }

namespace socketserver::systemd {

std::vector<PassedSocket> listen_fds() {
    const auto pid = number_in<pid_t>(listen_pid);
    const auto count = number_in<int>(listen_count);
    if (!pid || !count || *pid != ::getpid()) return {};
    if (*count > std::numeric_limits<int>::max() - first_descriptor) {
        throw std::system_error(std::make_error_code(std::errc::invalid_argument), listen_count);
    }
    const char* const names = std::getenv(listen_names);
    const std::vector<std::string> named =
        names == nullptr ? std::vector<std::string>{} : split(names);
    std::vector<PassedSocket> passed;
    for (int descriptor = first_descriptor; descriptor < first_descriptor + *count; ++descriptor) {
        take_over(descriptor);
        const std::size_t at = passed.size();
        passed.push_back({at < named.size() ? named[at] : "unknown", Socket{descriptor}});
    }
    if (const auto ready = number_in<int>(detail::ready_variable)) {
        take_over(*ready);
        ready_descriptor = *ready;
    }
    for (const char* each : {listen_pid, listen_count, listen_names, detail::ready_variable}) {
        ::unsetenv(each);
    }
    return passed;
}

bool notify(std::string_view state) { return notify(state, {}); }

bool notify(std::string_view state, std::span<const int> descriptors) {
    const bool told = says_ready(state) && tell_predecessor();
    const char* const name = std::getenv("NOTIFY_SOCKET");
    if (name == nullptr || *name == '\0' || has_left_service.load()) return told;
    const std::string operation = std::string{"notify "} + name;
    if (*name != '/' && *name != '@') {  // AF_VSOCK, of a virtual machine's host
        throw std::system_error(std::make_error_code(std::errc::address_family_not_supported),
                                operation);
    }
    if (descriptors.size() > detail::most_descriptors) {
        throw std::invalid_argument("notify: more than 253 descriptors");
    }
    detail::SockAddr to = detail::to_sockaddr(Address{name});
    std::string text{state};
    detail::DescriptorMessage<detail::most_descriptors> message{text.data(), text.size()};
    message.header.msg_name = to.get();
    message.header.msg_namelen = to.size;
    detail::attach_descriptors(message.header, descriptors);
    const Socket socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    const ssize_t sent = sys::retry_on_eintr(
        [&] { return ::sendmsg(socket.fileno(), &message.header, MSG_NOSIGNAL); });
    if (sent == -1) detail::throw_system_error(operation);
    return true;
}

bool notify_reloading() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const std::int64_t microseconds = std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
    return notify("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(microseconds));
}

bool store_fds(std::string_view name, std::span<const int> descriptors) {
    return notify("FDSTORE=1\nFDNAME=" + std::string{name}, descriptors);
}

bool remove_stored_fds(std::string_view name) {
    return notify("FDSTOREREMOVE=1\nFDNAME=" + std::string{name});
}

std::optional<std::chrono::microseconds> watchdog_enabled() {
    const auto time = number_in<std::int64_t>("WATCHDOG_USEC");
    const auto pid = number_in<pid_t>("WATCHDOG_PID");
    if (!time || *time == 0 || (pid && *pid != ::getpid())) return {};
    return std::chrono::microseconds{*time};
}

}  // namespace socketserver::systemd
