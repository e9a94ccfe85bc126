// SPDX-License-Identifier: MIT
#include "socketserver/select.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "io/poller.hpp"
#include "io/request_hooks.hpp"
#include "io/socket_error.hpp"
#include "socketserver/buffered_reader.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/errors.hpp"
#include "socketserver/socket.hpp"

namespace socketserver {

namespace detail {

namespace {

/// The request that the calling thread, or fiber, serves, if it is a connection.
ConnectionHandle request_here() {
    const ServerMark* const mark = current().request;
    if (mark == nullptr || mark->connection() == nullptr) return {};
    return share(mark->connection()->channel().connection);
}

}  // namespace

/// One call of select(). Each thing has an entry of the poller at its own place.
class Selection {
  public:
    Selection(std::span<const Selectable> things, TimePoint until)
        : things_{things}, until_{until}, watches_(things.size()) {
        for (std::size_t i = 0; i < things_.size(); ++i) {
            poller_.entries.push_back(entry_of(i));
            poller_.channels.push_back(waits_for_bytes(i) ? channel_of(i) : nullptr);
        }
        if (waker_) poller_.entries.push_back({waker_->fileno(), POLLIN, 0});
    }
    Selection(const Selection&) = delete;
    Selection& operator=(const Selection&) = delete;
    ~Selection() {
        for (std::size_t i = 0; i < things_.size(); ++i) end_watch(i);
    }

    Selected run() {
        for (std::size_t i = 0; i < things_.size(); ++i) {
            if (is_ready_before(i)) set_ready(i);
        }
        if (!found_ && Clock::now() < until_) flush_held_back();
        do {
            look_or_wait();
        } while (!found_ && Clock::now() < until_);
        return found_;
    }

  private:
    static Socket* socket_of(const Selectable& thing) {
        return thing.reader_ != nullptr ? thing.reader_->source_ : thing.socket_;
    }
    /// The channel of a connection whose next input, or end, is waited for; or null.
    Channel* channel_of(std::size_t place) const {
        Socket* const socket = socket_of(things_[place]);
        return socket == nullptr ? nullptr : &socket->channel();
    }
    bool waits_for_bytes(std::size_t place) const {
        return channel_of(place) != nullptr && things_[place].events_ == 0;
    }
    void set_ready(std::size_t place) {
        found_.ready_[place] = true;
        found_.any_ = true;
    }

    pollfd entry_of(std::size_t place);
    void flush_held_back();
    bool is_ready_before(std::size_t place);
    void look_or_wait();
    bool begin_waits();
    void end_waits() noexcept;
    void take_ready();
    void take_overdue();
    void look_at_watched();
    void end_watch(std::size_t place) noexcept {
        const Selectable& thing = things_[place];
        if (thing.object_ != nullptr) thing.end_watch_(thing.object_, watches_[place]);
    }

    const std::span<const Selectable> things_;
    TimePoint until_;
    Selected found_{things_.size()};
    std::optional<Waker> waker_{};  // for the things without a descriptor
    std::vector<Watch> watches_;    // one for each thing, at the same index
    ConnectionHandle request_ = request_here();
    Poller poller_{request_.get()};
};

pollfd Selection::entry_of(std::size_t place) {
    const Selectable& thing = things_[place];
    if (thing.object_ != nullptr) {
        if (!waker_) waker_.emplace();
        watches_[place].waker = &*waker_;
        return {-1, 0, 0};
    }
    const Channel* const channel = channel_of(place);
    // Nothing, or a reader of memory.
    if (!thing.is_descriptor_ && channel == nullptr) return {-1, 0, 0};
    const int fd = channel != nullptr ? channel->fd : thing.descriptor_;
    if (fd == -1) throw std::system_error(EBADF, std::system_category(), "select");
    return {fd, thing.events_ != 0 ? thing.events_ : short{POLLIN}, 0};
}

/// Whether the thing is ready, as far as that is known without asking the kernel.
bool Selection::is_ready_before(std::size_t place) {
    const Selectable& thing = things_[place];
    if (thing.object_ != nullptr) return thing.begin_watch_(thing.object_, watches_[place]);
    if (thing.reader_ != nullptr &&
        (thing.reader_->buffered() > 0 || channel_of(place) == nullptr)) {
        return true;
    }
    if (!waits_for_bytes(place)) return false;
    Channel& channel = *channel_of(place);
    return channel.filter != nullptr && channel.filter->look(channel);
}

/// Sends what writers hold back, as a receive does before it waits: a client that waits for its
/// answer sends nothing.
void Selection::flush_held_back() {
    for (std::size_t i = 0; i < things_.size(); ++i) {
        if (!waits_for_bytes(i)) continue;
        Corked* const output = socket_of(things_[i])->corked();
        if (output != nullptr) output->flush_before_wait();
    }
}

/// Waits, unless something has been found to be ready.
void Selection::look_or_wait() {
    struct Around {
        Selection& selection;
        ~Around() { selection.end_waits(); }
    };
    int ready = 0;
    {
        const Around around{*this};
        const bool waits = begin_waits();
        ready = poller_.wait(waits ? until_ : TimePoint::min());
    }
    if (ready == -1) {
        if (errno == ECANCELED) throw Cancelled("select");
        throw_system_error("select");
    }
    take_ready();
    if (!found_) take_overdue();
}

/// Returns false if something is ready.
bool Selection::begin_waits() {
    for (std::size_t i = 0; i < things_.size(); ++i) {
        Channel* const channel = channel_of(i);
        if (channel == nullptr) continue;
        if (before_receive(*channel, false) == Input::look) set_ready(i);
        until_ = std::min(until_, channel->deadline.load());
        if (waits_for_bytes(i) && channel->filter != nullptr) {
            const bool reads = channel->filter->recv_waits_for() == Direction::read;
            poller_.entries[i].events = reads ? POLLIN : POLLOUT;
            // Another thread may send to the connection meanwhile.
            poller_.channels[i] = reads ? channel : nullptr;
        }
    }
    return !found_;
}

void Selection::end_waits() noexcept {
    for (std::size_t i = 0; i < things_.size(); ++i) {
        if (const Channel* const channel = channel_of(i)) after_wait(*channel);
    }
}

void Selection::take_ready() {
    if (waker_ && poller_.entries.back().revents != 0) look_at_watched();
    for (std::size_t i = 0; i < things_.size(); ++i) {
        const short events = poller_.entries[i].revents;
        if (events == 0) continue;
        if ((events & POLLNVAL) != 0) {
            throw std::system_error(EBADF, std::system_category(), "select");
        }
        if (waits_for_bytes(i)) {
            Channel& channel = *channel_of(i);
            if (channel.filter != nullptr && !channel.filter->look(channel)) continue;
        }
        set_ready(i);
    }
}

/// Reports connections whose time is over as ready; their next receive then throws.
void Selection::take_overdue() {
    const TimePoint now = Clock::now();
    for (std::size_t i = 0; i < things_.size(); ++i) {
        const Channel* const channel = channel_of(i);
        if (channel != nullptr && channel->deadline.load() <= now) set_ready(i);
    }
}

void Selection::look_at_watched() {
    waker_->reset();
    for (std::size_t i = 0; i < things_.size(); ++i) {
        if (things_[i].object_ == nullptr) continue;
        end_watch(i);
        if (is_ready_before(i)) set_ready(i);
    }
}

}  // namespace detail

Selectable readable(int descriptor) noexcept {
    Selectable thing;
    thing.descriptor_ = descriptor;
    thing.is_descriptor_ = true;
    return thing;
}

Selectable writable(int descriptor) noexcept {
    Selectable thing;
    thing.descriptor_ = descriptor;
    thing.is_descriptor_ = true;
    thing.events_ = POLLOUT;
    return thing;
}

Selectable hung_up(Socket& socket) noexcept {
    Selectable thing;
    thing.socket_ = &socket;
    thing.events_ = POLLRDHUP;
    return thing;
}

Selected select(std::span<const Selectable> things,
                std::optional<std::chrono::nanoseconds> timeout) {
    return detail::Selection{things, timeout ? detail::deadline_after(*timeout) : detail::never}
        .run();
}

}  // namespace socketserver
