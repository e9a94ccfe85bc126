// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "socketserver/detail/export.hpp"
#include "socketserver/socket.hpp"

/// @file
/// Communication between a program and its service manager, by systemd's protocols: those of
/// sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3), which need no library. In a program
/// that no service manager has started, all of these functions do nothing. Beyond Python.
namespace socketserver::systemd {

/// A socket that the service manager made before it started this process.
struct PassedSocket {
    /// `FileDescriptorName=` of its unit; "unknown" if the manager named none.
    std::string name{};
    /// The socket, which owns the descriptor. It is bound, and it listens if it is for connections.
    Socket socket{};
};

/// Takes over the sockets that were passed to this process (`LISTEN_FDS`), by the service manager
/// or by an older version of the program (upgrade.hpp), in their order, to be given to servers:
/// `TCPServer<Handler> server{std::move(passed.front().socket)}`. The call makes the sockets
/// close-on-exec and removes the variables from the environment, so that children do not take the
/// sockets for their own; a second call returns none. If `LISTEN_PID` names another process, no
/// sockets were passed. Call it before other threads are started, because it changes the
/// environment.
///
/// @throws std::system_error if a variable is not what it has to be, or a descriptor is not open.
SOCKETSERVER_EXPORT std::vector<PassedSocket> listen_fds();

/// Tells the service manager (`NOTIFY_SOCKET`) what has happened: "READY=1", "STOPPING=1",
/// "STATUS=3 clients", "WATCHDOG=1", or several of these with newlines in between. "READY=1" is
/// also sent to the version of the program that this one replaces (upgrade.hpp). Returns true if
/// there was a manager, or an older version, to tell. May be called from any thread.
///
/// @throws std::system_error if sending fails.
SOCKETSERVER_EXPORT bool notify(std::string_view state);

/// The same with at most 253 descriptors, of which the manager gets copies. Mirrors
/// `sd_pid_notify_with_fds(3)`.
///
/// @throws std::invalid_argument if there are more.
SOCKETSERVER_EXPORT bool notify(std::string_view state, std::span<const int> descriptors);

/// Says that the program reads its configuration again: "RELOADING=1" with the time, as
/// `Type=notify-reload` requires it. Call notify("READY=1") when that is done. Returns what
/// notify() returns.
SOCKETSERVER_EXPORT bool notify_reloading();

/// Gives the manager copies of descriptors to keep (`FileDescriptorStoreMax=`). If the program
/// crashes or is restarted, listen_fds() returns them under that name; a listening socket keeps its
/// queue meanwhile. When the manager stops the program, it discards them. Returns what notify()
/// returns.
SOCKETSERVER_EXPORT bool store_fds(std::string_view name, std::span<const int> descriptors);
/// Makes the manager close the descriptors of that name. Returns what notify() returns.
SOCKETSERVER_EXPORT bool remove_stored_fds(std::string_view name);

/// The interval within which notify("WATCHDOG=1") has to be called repeatedly (`WatchdogSec=`), or
/// nothing if the manager does not watch this process. ServiceNotifier makes these calls from the
/// serve loop.
///
/// @throws std::system_error if `WATCHDOG_USEC` is not a number of microseconds.
SOCKETSERVER_EXPORT std::optional<std::chrono::microseconds> watchdog_enabled();

}  // namespace socketserver::systemd
