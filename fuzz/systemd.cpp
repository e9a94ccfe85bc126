// SPDX-License-Identifier: MIT
// The variables of a service manager: whatever they say, what becomes of them is what a simple
// model says, and no descriptor is lost.
#include <socketserver/systemd.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "require.hpp"

namespace {

using fuzz::require;
namespace systemd = socketserver::systemd;

constexpr int first_passed = 3;
constexpr int passed_count = 3;

/// While one lives, the numbers of passed sockets are sockets of its own, and the one behind them
/// is closed.
class PassedNumbers {
  public:
    PassedNumbers() {
        for (std::size_t i = 0; i < saved_.size(); ++i) {
            const int number = first_passed + static_cast<int>(i);
            saved_[i] = ::fcntl(number, F_DUPFD_CLOEXEC, 100);  // -1: it is not in use
        }
        const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
        const int source = ::fcntl(socket, F_DUPFD, 100);
        if (socket >= first_passed + passed_count) ::close(socket);
        for (int i = 0; i < passed_count; ++i) ::dup2(source, first_passed + i);
        ::close(source);
        ::close(first_passed + passed_count);
    }
    PassedNumbers(const PassedNumbers&) = delete;
    PassedNumbers& operator=(const PassedNumbers&) = delete;
    ~PassedNumbers() {
        for (std::size_t i = 0; i < saved_.size(); ++i) {
            const int number = first_passed + static_cast<int>(i);
            ::close(number);
            if (saved_[i] == -1) continue;
            ::dup3(saved_[i], number, O_CLOEXEC);
            ::close(saved_[i]);
        }
    }
    static int open_count() {
        int count = 0;
        for (int i = 0; i < passed_count; ++i) {
            if (::fcntl(first_passed + i, F_GETFD) != -1) ++count;
        }
        return count;
    }

  private:
    std::array<int, passed_count + 1> saved_{};
};

using Value = std::optional<std::string>;

void set(const char* variable, const Value& value) {
    if (value) {
        ::setenv(variable, value->c_str(), 1);
    } else {
        ::unsetenv(variable);
    }
}

/// A number as a variable has to have it: digits, and no more than `most`. A zero may have a sign.
struct Number {
    bool is_valid = true;
    std::optional<std::uint64_t> value{};  // nothing: not set

    Number(const Value& text, std::uint64_t most) {
        if (!text) return;
        std::string_view digits = *text;
        const bool is_negative = digits.starts_with('-');
        if (is_negative) digits.remove_prefix(1);
        value = 0;
        is_valid = !digits.empty();
        for (const char digit : digits) {
            const auto part = static_cast<std::uint64_t>(digit - '0');
            if (digit < '0' || digit > '9' || *value > (most - part) / 10) {
                is_valid = false;
                break;
            }
            *value = *value * 10 + part;
        }
        if (is_negative && *value > 0) is_valid = false;
    }
};

constexpr std::uint64_t most_int = 0x7fff'ffff;

std::string name_at(const Value& names, std::size_t index) {
    if (!names) return "unknown";
    std::size_t from = 0;
    for (; index > 0; --index) {
        const std::size_t colon = names->find(':', from);
        if (colon == std::string::npos) return "unknown";
        from = colon + 1;
    }
    return names->substr(from, names->find(':', from) - from);
}

void check_listen_fds(const Value& pid, const Value& count, const Value& names) {
    const PassedNumbers numbers;
    set("LISTEN_PID", pid);
    set("LISTEN_FDS", count);
    set("LISTEN_FDNAMES", names);
    const Number pid_number{pid, most_int};
    const Number count_number{count, most_int};
    std::vector<systemd::PassedSocket> passed;
    std::optional<std::error_code> error;
    try {
        passed = systemd::listen_fds();
    } catch (const std::system_error& thrown) {
        error = thrown.code();
    }
    if (!pid_number.is_valid || !count_number.is_valid) {
        require(error == std::errc::invalid_argument, "a variable that is no number is an error");
        require(PassedNumbers::open_count() == passed_count, "then nothing is taken");
        return;
    }
    const bool is_ours =
        pid_number.value == static_cast<std::uint64_t>(::getpid()) && count_number.value;
    if (!is_ours) {
        require(!error && passed.empty(), "another process's sockets are not taken");
        require(PassedNumbers::open_count() == passed_count, "nor closed");
        return;
    }
    if (*count_number.value > passed_count) {
        require(error.has_value(), "a descriptor that is not open is an error");
        return;
    }
    require(!error && passed.size() == *count_number.value, "all passed sockets are there");
    for (std::size_t i = 0; i < passed.size(); ++i) {
        const int descriptor = passed[i].socket.fileno();
        require(descriptor == first_passed + static_cast<int>(i), "in their order");
        require((::fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0, "closed on exec");
        require(passed[i].name == name_at(names, i), "the name of a socket");
    }
    for (const char* each : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
        require(std::getenv(each) == nullptr, "children are not told");
    }
    require(systemd::listen_fds().empty(), "a second call returns none");
    const auto size = static_cast<int>(passed.size());
    passed.clear();
    require(PassedNumbers::open_count() == passed_count - size, "they are owned");
}

void check_watchdog(const Value& microseconds, const Value& pid) {
    set("WATCHDOG_USEC", microseconds);
    set("WATCHDOG_PID", pid);
    const Number time{microseconds, 0x7fff'ffff'ffff'ffff};
    const Number process{pid, most_int};
    std::optional<std::chrono::microseconds> enabled;
    bool is_error = false;
    try {
        enabled = systemd::watchdog_enabled();
    } catch (const std::system_error&) {
        is_error = true;
    }
    require(is_error == (!time.is_valid || !process.is_valid), "what is no number is an error");
    if (is_error) return;
    const bool is_ours = !process.value || *process.value == static_cast<std::uint64_t>(::getpid());
    const bool is_on = time.value && *time.value != 0 && is_ours;
    require(enabled.has_value() == is_on, "whether there is a watchdog");
    if (is_on) {
        require(static_cast<std::uint64_t>(enabled->count()) == *time.value, "its time");
    }
}

void check_notify(Value name, std::string_view state) {
    // No file of this machine is meant, and no socket of anybody else.
    if (name && name->starts_with('/')) name->insert(0, "/nonexistent");
    if (name && name->starts_with('@')) name->insert(1, "fuzz-" + std::to_string(::getpid()) + "-");
    set("NOTIFY_SOCKET", name);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const bool is_abstract =
        name && name->starts_with('@') && name->size() <= sizeof address.sun_path;
    int receiver = -1;
    if (is_abstract) {
        std::memcpy(address.sun_path + 1, name->data() + 1, name->size() - 1);
        receiver = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name->size());
        require(::bind(receiver, reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
    }
    bool told = false;
    bool is_error = false;
    try {
        told = systemd::notify(state);
    } catch (const std::exception&) {
        is_error = true;
    }
    if (!name || name->empty()) {
        require(!told && !is_error, "there is nobody to tell");
    } else {
        require(is_error == !is_abstract, "who cannot be told is an error");
    }
    if (receiver == -1) return;
    require(told, "there is somebody to tell");
    std::array<char, 4096> got{};
    const ssize_t size = ::recv(receiver, got.data(), got.size(), MSG_DONTWAIT);
    require(size >= 0 && std::string_view(got.data(), static_cast<std::size_t>(size)) == state,
            "what is told");
    ::close(receiver);
}

/// The next line: "-" is a variable that is not set, and "$" in it the number of this process.
Value next_value(std::string_view& text) {
    const std::size_t end = text.find('\n');
    std::string line{text.substr(0, end)};
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line == "-") return {};
    line.erase(std::min(line.find('\0'), line.size()));
    if (const std::size_t at = line.find('$'); at != std::string::npos) {
        line.replace(at, 1, std::to_string(::getpid()));
    }
    return line;
}

}  // namespace

/// A line for each variable; then what is told.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 2048) return 0;
    std::string_view text{reinterpret_cast<const char*>(data), size};
    const Value pid = next_value(text);
    const Value count = next_value(text);
    const Value names = next_value(text);
    check_listen_fds(pid, count, names);
    const Value microseconds = next_value(text);
    check_watchdog(microseconds, next_value(text));
    const Value socket = next_value(text);
    check_notify(socket, text);
    return 0;
}
