// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <memory>

namespace socketserver::detail {

/// While it lives: that a fiber of this thread overflows its stack is told on stderr, with the name
/// of its client, before the program ends as it would have ended without.
///
/// The first one in the process installs a handler of SIGSEGV (which passes everything else on to
/// the handler before it, or the default) and leaves it there. Each gives its thread a stack for
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
