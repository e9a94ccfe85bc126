// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <memory>

namespace socketserver::detail {

/// While an object exists, an overflow of a fiber's stack in this thread is reported on stderr,
/// with the name of the client, before the program ends as it would have ended anyway.
///
/// The first object installs a handler of SIGSEGV for the process, which stays installed. It is not
/// installed again if the program installs another handler later. A fault that is no overflow is
/// handled as if this handler did not exist. The handler has the mask and the flags of the previous
/// handler, and calls that one with the arguments of the kernel. If the previous action was the
/// default, or a handler that runs on the ordinary stack, that action is restored and the fault
/// occurs again. A library that has installed the handler stays in memory when it is unloaded.
///
/// The object gives the thread an alternate signal stack if it has none. If there is no memory for
/// one, an overflow ends the program without a report.
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
