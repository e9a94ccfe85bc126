// SPDX-License-Identifier: MIT
#include "os/successor.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>

#include "os/child_process.hpp"
#include "os/system_error.hpp"

namespace socketserver::detail {

namespace {

constexpr int first_descriptor = 3;

/// Room for a process id in the text of an environment variable. The child writes it where it may
/// not allocate. A reader of the number ignores leading zeros.
constexpr std::string_view room_for_pid = "0000000000";

void write_pid(std::string& variable, pid_t pid) noexcept {
    for (std::size_t at = variable.size(); pid > 0; pid /= 10) {
        variable[--at] = static_cast<char>('0' + pid % 10);
    }
}

/// Holds all that the child needs. It is made before the fork, because the child of a program with
/// threads may call nothing that takes a lock.
class Launch {
  public:
    Launch(const std::vector<std::string>& command, std::span<const int> sockets, int ready)
        : command_{command}, sockets_{sockets.begin(), sockets.end()}, ready_{ready} {
        const int count = static_cast<int>(sockets_.size());
        std::string watchdog;
        for (char** each = environ; *each != nullptr; ++each) {
            const std::string_view variable{*each};
            const std::string_view name = variable.substr(0, variable.find('='));
            if (name == "WATCHDOG_PID") watchdog = "WATCHDOG_PID=";
            if (name == "LISTEN_PID" || name == "LISTEN_FDS" || name == "LISTEN_FDNAMES" ||
                name == "WATCHDOG_PID" || name == ready_variable) {
                continue;
            }
            environment_.emplace_back(variable);
        }
        environment_.push_back("LISTEN_FDS=" + std::to_string(count));
        environment_.push_back(std::string{ready_variable} + '=' +
                               std::to_string(first_descriptor + count));
        pids_at_ = environment_.size();
        environment_.push_back("LISTEN_PID=" + std::string{room_for_pid});
        if (!watchdog.empty()) environment_.push_back(watchdog + std::string{room_for_pid});
        for (std::string& each : environment_) variables_.push_back(each.data());
        variables_.push_back(nullptr);
        for (std::string& each : command_) arguments_.push_back(each.data());
        arguments_.push_back(nullptr);
    }

    /// In the child.
    [[noreturn]] void run(const sigset_t& signals) noexcept {
        // Until the program is executed, a signal would run a handler of the parent here, in a copy
        // of it.
        struct sigaction action {};
        for (int signal = 1; signal < NSIG; ++signal) {
            if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) {
                action = {};
                action.sa_handler = SIG_DFL;
                ::sigaction(signal, &action, nullptr);
            }
        }
        const pid_t self = ::getpid();
        for (std::size_t i = pids_at_; i < environment_.size(); ++i) {
            write_pid(environment_[i], self);
        }
        if (place_descriptors()) {
            ::pthread_sigmask(SIG_SETMASK, &signals, nullptr);
            ::execve(command_.front().c_str(), arguments_.data(), variables_.data());
        }
        const int error = errno;
        std::array<char, 1 + sizeof error> message{'e'};
        std::memcpy(message.data() + 1, &error, sizeof error);
        [[maybe_unused]] const auto written = ::write(ready_, message.data(), message.size());
        ::_exit(127);
    }

  private:
    /// Moves each descriptor to its number. First it moves all of them to numbers that no other
    /// needs.
    bool place_descriptors() noexcept {
        const int count = static_cast<int>(sockets_.size());
        const int beyond = first_descriptor + count + 1;
        for (int& each : sockets_) {
            each = ::fcntl(each, F_DUPFD_CLOEXEC, beyond);
            if (each == -1) return false;
        }
        const int ready = ::fcntl(ready_, F_DUPFD_CLOEXEC, beyond);
        if (ready == -1) return false;
        ready_ = ready;
        for (int i = 0; i < count; ++i) {
            if (::dup2(sockets_[static_cast<std::size_t>(i)], first_descriptor + i) == -1) {
                return false;
            }
        }
        return ::dup2(ready_, first_descriptor + count) != -1;
    }

    std::vector<std::string> command_;
    std::vector<int> sockets_;
    int ready_;
    std::vector<std::string> environment_{};
    std::size_t pids_at_ = 0;
    std::vector<char*> arguments_{};
    std::vector<char*> variables_{};
};

}  // namespace

std::vector<std::string> own_command() {
    std::array<char, 4096> path{};
    const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
    if (size == -1) throw_system_error("read /proc/self/exe");
    std::vector<std::string> command;
    std::ifstream file{"/proc/self/cmdline", std::ios::binary};
    for (std::string argument; std::getline(file, argument, '\0');) command.push_back(argument);
    if (command.empty()) command.emplace_back();
    command.front().assign(path.data(), static_cast<std::size_t>(size));
    return command;
}

pid_t start_successor(const std::vector<std::string>& command, std::span<const int> sockets,
                      int ready, const sigset_t& signals) {
    Launch launch{command, sockets, ready};
    const pid_t pid = fork_with_signals_blocked([&] { launch.run(signals); });
    if (pid == -1) throw_system_error("fork a process for the new version");
    return pid;
}

}  // namespace socketserver::detail
