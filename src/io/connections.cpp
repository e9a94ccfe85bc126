// SPDX-License-Identifier: MIT
#include "socketserver/connections.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "os/sys.hpp"
#include "socketserver/buffered_writer.hpp"
#include "socketserver/socket.hpp"

namespace socketserver {

std::size_t Connections::broadcast(std::string_view data, const Membership* except) {
    const auto shared = std::make_shared<const std::string>(data);
    const std::lock_guard lock{mutex_};
    std::size_t count = 0;
    for (Membership* member : members_) {
        if (member == except || member->is_closed_) continue;
        put(*member, shared);
        ++count;
    }
    return count;
}

bool Connections::send(std::uint64_t id, std::string_view data) {
    const auto shared = std::make_shared<const std::string>(data);
    const std::lock_guard lock{mutex_};
    Membership* const member = find(id);
    if (member == nullptr || member->is_closed_) return false;
    put(*member, shared);
    return true;
}

/// To be called with the lock. If too much data waits, the connection is shut down, because its
/// handler may be blocked in a write; the end of the connection ends that write.
void Connections::put(Membership& member, const std::shared_ptr<const std::string>& data) {
    if (member.waiting_ + data->size() > most_waiting_) {
        member.is_closed_ = true;
        member.messages_.clear();
        detail::sys::calls.shutdown(member.connection_.fileno(), SHUT_RDWR);
    } else {
        member.messages_.push_back(data);
        member.waiting_ += data->size();
    }
    member.watches_.wake_all();
}

bool Connections::close(std::uint64_t id) {
    const std::lock_guard lock{mutex_};
    Membership* const member = find(id);
    if (member == nullptr) return false;
    member->is_closed_ = true;
    member->watches_.wake_all();
    return true;
}

void Connections::close_all() {
    const std::lock_guard lock{mutex_};
    is_closed_ = true;
    for (Membership* member : members_) {
        member->is_closed_ = true;
        member->watches_.wake_all();
    }
}

std::size_t Connections::size() const {
    const std::lock_guard lock{mutex_};
    return members_.size();
}

std::vector<MemberInfo> Connections::list() const {
    const std::lock_guard lock{mutex_};
    std::vector<MemberInfo> all;
    all.reserve(members_.size());
    for (const Membership* each : members_) {
        all.push_back({each->id_, each->client_address_, each->since_, each->waiting_});
    }
    return all;
}

Membership* Connections::find(std::uint64_t id) const {
    const auto found = std::find_if(members_.begin(), members_.end(),
                                    [id](const Membership* each) { return each->id_ == id; });
    return found == members_.end() ? nullptr : *found;
}

Membership::Membership(Connections& all, Socket& connection, Address client_address)
    : all_{all}, connection_{connection}, client_address_{std::move(client_address)} {
    const std::lock_guard lock{all_.mutex_};
    all_.members_.push_back(this);
    id_ = ++all_.last_id_;
    is_closed_ = all_.is_closed_;
}

Membership::~Membership() {
    const std::lock_guard lock{all_.mutex_};
    std::erase(all_.members_, this);
}

bool Membership::deliver(BufferedWriter& writer) {
    for (;;) {
        std::vector<std::shared_ptr<const std::string>> messages;
        {
            const std::lock_guard lock{all_.mutex_};
            messages = std::exchange(messages_, {});
            if (messages.empty()) return !is_closed_;
        }
        for (const auto& message : messages) {
            writer.write(*message);
            const std::lock_guard lock{all_.mutex_};
            waiting_ -= message->size();
        }
    }
}

bool Membership::begin_watch(detail::Watch& watch) {
    const std::lock_guard lock{all_.mutex_};
    if (is_closed_ || !messages_.empty()) return true;
    watches_.add(watch);
    return false;
}

void Membership::end_watch(detail::Watch& watch) noexcept {
    const std::lock_guard lock{all_.mutex_};
    watches_.remove(watch);
}

}  // namespace socketserver
