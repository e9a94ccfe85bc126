// SPDX-License-Identifier: MIT
// What ends the process is tried in a child process, and looked at from outside.
#pragma once

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"

namespace socketserver::tests {

struct ChildEnd {
    int status = 0;    ///< of waitpid(2)
    std::string text;  ///< what it wrote to stderr

    bool exited_with(int code) const { return WIFEXITED(status) && WEXITSTATUS(status) == code; }
    bool killed_by(int signal) const { return WIFSIGNALED(status) && WTERMSIG(status) == signal; }
};

/// Runs `function` in a forked child, which ends with 0 if nothing else ends it, and after 40
/// seconds by SIGALRM. `meanwhile` runs in this process. To be called without other threads.
inline ChildEnd in_child(
    const std::function<void()>& function, const std::function<void()>& meanwhile = [] {}) {
    std::array<int, 2> messages{-1, -1};
    if (::pipe(messages.data()) == -1) throw std::runtime_error("no pipe");
    const pid_t child = ::fork();
    if (child == -1) throw std::runtime_error("no child");
    if (child == 0) {
        const rlimit no_core{0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        ::dup2(messages[1], STDERR_FILENO);
        ::close(messages[0]);
        ::close(messages[1]);
        // Not Catch's handlers, which would write a report of their own.
        for (const int signal : {SIGSEGV, SIGABRT, SIGTERM}) ::signal(signal, SIG_DFL);
        ::alarm(40);
        try {
            function();
        } catch (const std::exception& error) {
            // Else Catch would end this process as it ends a failing test, with a status of 1.
            std::fprintf(stderr, "[%s]", error.what());
        }
        ::_exit(0);
    }
    ::close(messages[1]);
    meanwhile();
    ChildEnd end;
    std::array<char, 4096> part{};
    for (ssize_t size = 0; (size = ::read(messages[0], part.data(), part.size())) > 0;) {
        end.text.append(part.data(), static_cast<std::size_t>(size));
    }
    ::close(messages[0]);
    if (::waitpid(child, &end.status, 0) != child) throw std::runtime_error("the child is lost");
    return end;
}

inline std::size_t count_of(const std::string& part, const std::string& text) {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) {
        ++count;
    }
    return count;
}

/// For a signal handler.
inline void write_text(const char* text) {
    std::size_t size = 0;
    while (text[size] != '\0') ++size;
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text, size);
}

}  // namespace socketserver::tests
