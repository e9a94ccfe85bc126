// SPDX-License-Identifier: MIT
#include "channels.hpp"

#include <socketserver/errors.hpp>
#include <sys/socket.h>

#include <system_error>
#include <utility>

#include "resp.hpp"

namespace store {

Outbox::Outbox(ss::Socket& connection) : connection_{connection} {
    sender_ = ss::spawn([this] { run(); });
}

Outbox::~Outbox() {
    is_over_ = true;
    messages_.close();
    // Ends a send that waits for the client. The descriptor stays open until the sender has ended.
    ::shutdown(connection_.fileno(), SHUT_WR);
}

void Outbox::send(std::shared_ptr<const std::string> message) {
    const std::size_t size = message->size();
    if (waiting_.fetch_add(size) + size > most && !is_over_.exchange(true)) {
        messages_.close();
        ::shutdown(connection_.fileno(), SHUT_RDWR);  // its handler finds the end of the stream
    }
    messages_.push(std::move(message));
}

void Outbox::run() try {
    while (auto message = messages_.pop()) {
        if (is_over_) return;
        std::string text = **message;
        while (auto more = messages_.try_pop()) text += **more;
        connection_.sendall(text);
        waiting_ -= text.size();
    }
} catch (const ss::Cancelled&) {
    // The server is being stopped.
} catch (const std::system_error&) {
    is_over_ = true;
    messages_.close();
    ::shutdown(connection_.fileno(), SHUT_RDWR);
}

bool Channels::subscribe(const std::string& channel, Outbox& outbox) {
    const std::lock_guard lock{mutex_};
    return subscribers_[channel].insert(&outbox).second;
}

bool Channels::unsubscribe(const std::string& channel, Outbox& outbox) {
    const std::lock_guard lock{mutex_};
    const auto found = subscribers_.find(channel);
    if (found == subscribers_.end()) return false;
    const bool was_there = found->second.erase(&outbox) > 0;
    if (found->second.empty()) subscribers_.erase(found);
    return was_there;
}

std::size_t Channels::publish(std::string_view channel, std::string_view message) {
    const std::lock_guard lock{mutex_};
    const auto found = subscribers_.find(channel);
    if (found == subscribers_.end()) return 0;
    std::string text;
    append_array(text, 3);
    append_bulk(text, "message");
    append_bulk(text, channel);
    append_bulk(text, message);
    const auto shared = std::make_shared<const std::string>(std::move(text));
    for (Outbox* const each : found->second) each->send(shared);
    return found->second.size();
}

}  // namespace store
