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
/// What a program and its service manager tell each other, as systemd does: the protocols of
/// sd_listen_fds(3), sd_notify(3) and sd_watchdog_enabled(3), which need no library. In a program
/// that no service manager has started, all of these do nothing. Beyond Python.
namespace socketserver::systemd {

/// A socket that the service manager made before it started this process.
struct PassedSocket {
    /// `FileDescriptorName=` of its unit; "unknown" if the manager named none.
    std::string name{};
    /// It owns the descriptor, which is bound, and listens if it is one of connections.
    Socket socket{};
};

/// Takes over the sockets that were passed to this process (`LISTEN_FDS`), by the service manager
/// or by an older version of the program (upgrade.hpp), in their order, to be given to servers:
/// `TCPServer<Handler> server{std::move(passed.front().socket)}`. They are closed on exec from here
/// on, and the variables are removed from the environment, so that children do not take the sockets
/// for theirs: a second call returns none. None were passed if `LISTEN_PID` is another process.
/// Call it before other threads are started, because it changes the environment.
///
/// @throws std::system_error if a variable is not what it has to be, or a descriptor is not open.
SOCKETSERVER_EXPORT std::vector<PassedSocket> listen_fds();

/// Tells the service manager (`NOTIFY_SOCKET`) what has happened: "READY=1", "STOPPING=1",
/// "STATUS=3 clients", "WATCHDOG=1", or several with a newline in between. "READY=1" is for the
/// version of the program that this one replaces as well. Returns whether there was anybody to
/// tell. From any thread.
///
/// @throws std::system_error if it cannot be told.
SOCKETSERVER_EXPORT bool notify(std::string_view state);

/// The same with descriptors, which the manager is given copies of: at most 253. Mirrors
/// `sd_pid_notify_with_fds(3)`.
///
/// @throws std::invalid_argument if there are more.
SOCKETSERVER_EXPORT bool notify(std::string_view state, std::span<const int> descriptors);

/// Says that the program reads its configuration again: "RELOADING=1" with the time, as
/// `Type=notify-reload` wants it. Say "READY=1" when that is done. Returns as notify() does.
SOCKETSERVER_EXPORT bool notify_reloading();

/// Gives the manager copies of descriptors to keep (`FileDescriptorStoreMax=`). If the program
/// crashes or is restarted, listen_fds() returns them under that name, and a listening socket has
/// kept its queue. A program that the manager stops loses them. Returns as notify() does.
SOCKETSERVER_EXPORT bool store_fds(std::string_view name, std::span<const int> descriptors);
/// Lets the manager close those of that name.
SOCKETSERVER_EXPORT bool remove_stored_fds(std::string_view name);

/// Within which time notify("WATCHDOG=1") has to be called, again and again (`WatchdogSec=`);
/// nothing if the manager does not watch this process. ServiceNotifier does so from the serve loop.
///
/// @throws std::system_error if the variable is not a number of microseconds.
SOCKETSERVER_EXPORT std::optional<std::chrono::microseconds> watchdog_enabled();

}  // namespace socketserver::systemd
