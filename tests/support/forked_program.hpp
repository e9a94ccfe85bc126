// SPDX-License-Identifier: MIT
// Programs that a test runs in processes of its own, because they catch signals or end.
#pragma once

#include <csignal>
#include <functional>
#include <stdexcept>

#include <sys/wait.h>
#include <unistd.h>

namespace socketserver::tests {

/// What signals do in the child at first.
enum class Signals : unsigned char {
    by_default,  ///< not what the test framework has made of them
    inherited,
};

/// A process that has not been waited for.
class ForkedProgram {
  public:
    /// Runs `body` in a child, whose exit status is what it returns. Not for as long as a test may
    /// last.
    explicit ForkedProgram(const std::function<int()>& body, Signals signals = Signals::by_default)
        : pid_{::fork()} {
        if (pid_ == -1) throw std::runtime_error("fork");
        if (pid_ != 0) return;
        ::alarm(50);
        if (signals == Signals::by_default) {
            for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);
        }
        ::_exit(body());
    }
    ForkedProgram(const ForkedProgram&) = delete;
    ForkedProgram& operator=(const ForkedProgram&) = delete;
    ~ForkedProgram() {
        if (pid_ == -1) return;
        ::kill(pid_, SIGKILL);
        wait();
    }

    pid_t pid() const { return pid_; }
    /// How it ended: its exit status, or minus the signal.
    int wait() {
        const pid_t pid = pid_;
        pid_ = -1;
        int status = 0;
        if (::waitpid(pid, &status, 0) != pid) return -1000;
        return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    }

  private:
    pid_t pid_;
};

inline int run_in_child(const std::function<int()>& body, Signals signals = Signals::by_default) {
    return ForkedProgram{body, signals}.wait();
}

/// One process tells another that something has come about.
class ProcessEvent {
  public:
    ProcessEvent() {
        if (::pipe(ends_) == -1) throw std::runtime_error("pipe");
    }
    ProcessEvent(const ProcessEvent&) = delete;
    ProcessEvent& operator=(const ProcessEvent&) = delete;
    ~ProcessEvent() {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    void set() const {
        if (::write(ends_[1], "x", 1) != 1) throw std::runtime_error("write to a pipe");
    }
    /// Takes one set() back.
    void wait() const {
        char byte = 0;
        if (::read(ends_[0], &byte, 1) != 1) throw std::runtime_error("read from a pipe");
    }

  private:
    int ends_[2];
};

}  // namespace socketserver::tests
