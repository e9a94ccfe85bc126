// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <memory>

namespace socketserver::detail {

/// While it lives: that a fiber of this thread overflows its stack is told on stderr, with the name
/// of its client, before the program ends as it would have ended without.
///
/// The first one installs a handler of SIGSEGV for the process, which stays; it is not installed
/// again, whoever installs another one on top. What is no overflow is handed on as if the handler
/// were not there: its mask and flags are those of the handler before it, which is called with what
/// the kernel said; the default, and a handler that wants the ordinary stack, are put back and meet
/// the fault again. A library that is unloaded later stays in memory if it has installed it.
///
/// Gives the thread a stack for signal handlers, if it has none. Without memory for that an
/// overflow ends the program unreported.
class OverflowReport {
  public:
    OverflowReport() noexcept;
    OverflowReport(const OverflowReport&) = delete;
    OverflowReport& operator=(const OverflowReport&) = delete;
    ~OverflowReport();

  private:
    std::unique_ptr<char[]> stack_;
};

}  // namespace socketserver::detail
