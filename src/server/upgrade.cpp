// SPDX-License-Identifier: MIT
#include "socketserver/upgrade.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>

#include "io/service_manager.hpp"
#include "io/socket_error.hpp"
#include "os/child_process.hpp"
#include "os/signal_table.hpp"
#include "os/successor.hpp"
#include "os/sys.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/detail/os/waker.hpp"
#include "socketserver/drain_report.hpp"
#include "socketserver/server_base.hpp"
#include "socketserver/socket.hpp"
#include "socketserver/systemd.hpp"

namespace socketserver {

UpgradeError::UpgradeError(const std::string& text) : std::runtime_error("upgrade: " + text) {}
UpgradeError::~UpgradeError() = default;

namespace detail {

namespace {

/// On a kernel without pidfds, how often to check whether the new process has ended.
constexpr std::chrono::milliseconds look_again{20};

/// A process that has been started. The destructor kills it unless keep() was called.
class Successor {
  public:
    Successor(pid_t pid, Socket&& ready) noexcept
        : pid_{pid}, pidfd_{sys::calls.pidfd_open(pid, 0)}, ready_{std::move(ready)} {}
    Successor(const Successor&) = delete;
    Successor& operator=(const Successor&) = delete;
    ~Successor() {
        if (pid_ != 0) {
            signal_child(pid_, pidfd_.fileno(), SIGKILL);
            wait_for_child(pid_, 0);
        }
    }

    pid_t keep() noexcept { return std::exchange(pid_, 0); }

    /// @return false: `ending` became readable first.
    bool wait_until_ready(const Waker& ending, TimePoint until) {
        for (;;) {
            std::array<pollfd, 3> entries{{{ready_.fileno(), POLLIN, 0},
                                           {pidfd_.fileno(), POLLIN, 0},
                                           {ending.fileno(), POLLIN, 0}}};
            const TimePoint look =
                pidfd_.is_open() ? until : std::min(until, Clock::now() + look_again);
            if (poll(entries.data(), entries.size(), look) == -1) {
                throw_system_error("wait for the new version");
            }
            if (entries[0].revents != 0 && has_said_ready()) return true;
            if (const auto end = wait_for_child(pid_, WNOHANG)) {
                pid_ = 0;
                throw UpgradeError("the new version has ended" + how(*end));
            }
            if (entries[2].revents != 0) return false;
            if (Clock::now() >= until) throw UpgradeError("the new version was not ready in time");
        }
    }

  private:
    /// Returns false if the process has closed the descriptor without saying that it is ready.
    bool has_said_ready() {
        std::array<char, 1 + sizeof(int)> message{};
        const ssize_t size = sys::retry_on_eintr(
            [&] { return ::read(ready_.fileno(), message.data(), message.size()); });
        if (size <= 0) {
            ready_.close();  // the end of the process is still to be seen, which may take a while
            return false;
        }
        if (message[0] != 'e') return true;
        int error = 0;
        std::memcpy(&error, message.data() + 1, sizeof error);
        wait_for_child(std::exchange(pid_, 0), 0);
        throw UpgradeError(std::string{"the new version cannot be executed: "} +
                           std::system_category().message(error));
    }

    static std::string how(const ChildEnd& end) {
        if (!end.status) return {};
        if (WIFSIGNALED(*end.status)) {
            return ", by signal " + std::to_string(WTERMSIG(*end.status));
        }
        return " with status " + std::to_string(WEXITSTATUS(*end.status));
    }

    pid_t pid_;  // 0 if it has ended, or is kept
    Socket pidfd_;
    Socket ready_;
};

std::pair<Socket, Socket> make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) == -1) throw_system_error("make a pipe for an upgrade");
    return {Socket{sys::off_standard_streams(ends[0])}, Socket{sys::off_standard_streams(ends[1])}};
}

}  // namespace

/// Waits for the signal, starts the new version and drains, in a thread of its own.
class Upgrader {
  public:
    Upgrader(std::vector<std::reference_wrapper<ServerBase>> servers, Upgrade upgrade)
        : servers_{std::move(servers)}, upgrade_{std::move(upgrade)} {
        if (servers_.empty()) throw std::invalid_argument("UpgradeOnSignal: there is no server");
        for (const ServerBase& each : servers_) {
            if (!each.options().socket_per_worker) continue;
            throw std::system_error(EOPNOTSUPP, std::system_category(),
                                    "UpgradeOnSignal: a server on " +
                                        each.server_address().to_string() +
                                        " with socket_per_worker");
        }
        if (upgrade_.command.empty()) upgrade_.command = own_command();
        for (ServerBase& each : servers_) each.own_in_this_process();
        ::pthread_sigmask(SIG_SETMASK, nullptr, &signals_);
        thread_ = std::thread{[this] { watch(); }};
    }
    Upgrader(const Upgrader&) = delete;
    Upgrader& operator=(const Upgrader&) = delete;
    ~Upgrader() { end(); }

    /// Waits for a drain that has begun. Idempotent.
    void end() noexcept {
        if (!thread_.joinable()) return;
        if (::getpid() != process_) {
            // This is a copy in a forked child. The thread belongs to the parent, and must not be
            // joined.
            ::new (&thread_) std::thread;
            return;
        }
        ending_.wake();
        thread_.join();
    }

    const Waker& waker() const noexcept { return signalled_; }
    bool is_replaced() const noexcept { return replaced_; }

  private:
    void watch() {
        while (wait_for_signal()) {
            signalled_.reset();
            try {
                replaced_ = has_successor();
                if (!replaced_) return;
            } catch (...) {
                servers_.front().get().report_server_error(std::current_exception());
                signalled_.reset();  // those that came meanwhile were for this one
                continue;
            }
            return drain();
        }
    }

    bool wait_for_signal() const {
        for (;;) {
            std::array<pollfd, 2> entries{
                {{signalled_.fileno(), POLLIN, 0}, {ending_.fileno(), POLLIN, 0}}};
            if (poll(entries.data(), entries.size(), never) == -1) {
                sleep_until(Clock::now() + look_again);  // no memory
                continue;
            }
            return entries[1].revents == 0;
        }
    }

    /// Returns false if the object is being destroyed.
    bool has_successor() {
        std::vector<int> sockets;
        for (ServerBase& each : servers_) sockets.push_back(each.socket().fileno());
        auto [ready, said] = make_pipe();
        const pid_t pid = start_successor(upgrade_.command, sockets, said.fileno(), signals_);
        said.close();
        Successor successor{pid, std::move(ready)};
        if (!successor.wait_until_ready(ending_, deadline_after(upgrade_.ready_within))) {
            return false;
        }
        tell_manager("READY=1\nMAINPID=" + std::to_string(successor.keep()));
        leave_service();
        return true;
    }

    /// An error is reported and does not end the upgrade, because otherwise two versions would go
    /// on serving.
    void tell_manager(const std::string& state) noexcept {
        try {
            systemd::notify(state);
        } catch (...) {
            servers_.front().get().report_server_error(std::current_exception());
        }
    }

    void drain() noexcept {
        std::vector<std::thread> others;
        for (std::size_t i = 1; i < servers_.size(); ++i) {
            try {
                others.emplace_back([this, i] { drain(servers_[i]); });
            } catch (...) {
                drain(servers_[i]);  // without a thread the servers are drained one after the other
            }
        }
        drain(servers_.front());
        for (std::thread& each : others) each.join();
    }

    void drain(ServerBase& server) noexcept {
        try {
            server.drain(upgrade_.drain_within, AcceptQueue::leave);
        } catch (...) {
            server.report_server_error(std::current_exception());
            server.stop_waker().wake();
        }
    }

    const std::vector<std::reference_wrapper<ServerBase>> servers_;
    Upgrade upgrade_;
    sigset_t signals_{};
    const int process_ = ::getpid();
    Waker signalled_;
    Waker ending_;
    std::atomic<bool> replaced_{false};
    std::thread thread_;
};

}  // namespace detail

UpgradeOnSignal::UpgradeOnSignal(ServerBase& server, Upgrade upgrade,
                                 std::initializer_list<int> signals)
    : UpgradeOnSignal{std::vector{std::ref(server)}, std::move(upgrade), signals} {}

UpgradeOnSignal::UpgradeOnSignal(std::vector<std::reference_wrapper<ServerBase>> servers,
                                 Upgrade upgrade, std::initializer_list<int> signals)
    : upgrader_{std::make_unique<detail::Upgrader>(std::move(servers), std::move(upgrade))} {
    signals_.reserve(signals.size());
    const detail::Waker& waker = upgrader_->waker();
    try {
        for (const int signal : signals) {
            // It is no stop: a copy of the server in a forked child is not to end by it.
            if (detail::SignalTable::add(signal, {waker}, waker, this)) signals_.push_back(signal);
        }
    } catch (...) {
        for (const int signal : signals_) detail::SignalTable::remove(signal, this);
        throw;
    }
}

UpgradeOnSignal::~UpgradeOnSignal() {
    for (const int signal : signals_) detail::SignalTable::remove(signal, this);
    upgrader_->end();
}

bool UpgradeOnSignal::is_replaced() const noexcept { return upgrader_->is_replaced(); }

}  // namespace socketserver
