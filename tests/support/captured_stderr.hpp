// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <string>

#include <unistd.h>

namespace socketserver::tests {

/// What is written to stderr while it lives, by children too.
class CapturedStderr {
  public:
    CapturedStderr() : file_{std::tmpfile()}, before_{::dup(STDERR_FILENO)} {
        std::fflush(stderr);
        ::dup2(::fileno(file_), STDERR_FILENO);
    }
    CapturedStderr(const CapturedStderr&) = delete;
    CapturedStderr& operator=(const CapturedStderr&) = delete;
    ~CapturedStderr() {
        restore();
        std::fclose(file_);
    }
    std::string text() {
        restore();
        std::string all;
        std::rewind(file_);
        for (int c = std::fgetc(file_); c != EOF; c = std::fgetc(file_)) {
            all += static_cast<char>(c);
        }
        return all;
    }

  private:
    void restore() {
        if (before_ == -1) return;
        std::fflush(stderr);
        ::dup2(before_, STDERR_FILENO);
        ::close(before_);
        before_ = -1;
    }
    std::FILE* file_;
    int before_;
};

}  // namespace socketserver::tests
