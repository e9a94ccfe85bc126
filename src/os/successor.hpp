// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <span>
#include <string>
#include <vector>

#include <sys/types.h>

namespace socketserver::detail {

/// The descriptor to which a new version of this program says that it is ready.
inline constexpr const char* ready_variable = "SOCKETSERVER_READY_FD";

/// The path from which this program was started, and its arguments.
///
/// @throws std::system_error if /proc does not tell.
std::vector<std::string> own_command();

/// Starts a program that inherits `sockets`, as a service manager passes them (LISTEN_FDS), and
/// `ready`. Its signals are those of a program that was started by `signals`, the mask.
///
/// If it cannot be executed, the child writes the error to `ready`, an int after the byte 'e', and
/// ends.
///
/// @throws std::system_error if no process can be made.
pid_t start_successor(const std::vector<std::string>& command, std::span<const int> sockets,
                      int ready, const sigset_t& signals);

}  // namespace socketserver::detail
