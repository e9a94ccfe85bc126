// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <memory>

namespace socketserver::detail {

/// While it lives: that a fiber of this thread overflows its stack is told on stderr, with the name
/// of its client, before the program ends as it would have ended without.
///
/// Installs a handler of SIGSEGV for the process, unless it is there, and leaves it there; it
/// passes everything on to the handler before it, or the default. Gives the thread a stack for
/// signal handlers, if it has none.
class OverflowReport {
  public:
    OverflowReport();
    OverflowReport(const OverflowReport&) = delete;
    OverflowReport& operator=(const OverflowReport&) = delete;
    ~OverflowReport();

  private:
    std::unique_ptr<char[]> stack_;
};

}  // namespace socketserver::detail
