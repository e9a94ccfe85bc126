// SPDX-License-Identifier: MIT
#include "socketserver/detail/server_link.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace socketserver::detail {

struct ServerLink::State {
    std::mutex mutex;
    std::condition_variable unused;
    // Read without the lock: a forked child must not depend on who held a lock at the fork.
    std::atomic<ServerBase*> server{nullptr};
    int users = 0;
};

ServerLink::ServerLink(ServerBase& server) : state_{std::make_unique<State>()} {
    state_->server = &server;
}

ServerLink::~ServerLink() = default;

ServerBase& ServerLink::server() const {
    ServerBase* server = state_->server;
    if (server == nullptr) throw std::logic_error("the server of this request is closed");
    return *server;
}

void ServerLink::cut() noexcept {
    std::unique_lock lock{state_->mutex};
    state_->server = nullptr;
    state_->unused.wait(lock, [&] { return state_->users == 0; });
}

namespace {
thread_local DaemonUse* use_of_this_thread = nullptr;
}

DaemonUse::DaemonUse(std::shared_ptr<ServerLink> link) : link_{std::move(link)} {
    acquire();
    use_of_this_thread = this;
}

DaemonUse::~DaemonUse() {
    use_of_this_thread = nullptr;
    release();
}

bool DaemonUse::is_lost() noexcept {
    return use_of_this_thread != nullptr && !use_of_this_thread->holds_;
}

void DaemonUse::acquire() {
    const std::lock_guard lock{link_->state_->mutex};
    holds_ = link_->state_->server != nullptr;
    if (holds_) ++link_->state_->users;
}

void DaemonUse::release() {
    if (!std::exchange(holds_, false)) return;
    const std::lock_guard lock{link_->state_->mutex};
    if (--link_->state_->users == 0) link_->state_->unused.notify_all();
}

DaemonUse::Pause::Pause() : use_{use_of_this_thread} {
    if (use_ != nullptr) use_->release();
}

DaemonUse::Pause::~Pause() {
    if (use_ != nullptr) use_->acquire();
}

}  // namespace socketserver::detail
