// SPDX-License-Identifier: MIT
#include "io/reply_collector.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "io/datagram_counters.hpp"
#include "os/sys.hpp"
#include "socketserver/detail/io/blocking_io.hpp"

namespace socketserver::detail {

namespace {

constexpr std::size_t most_messages = 16;
/// Longer messages are sent at once: copying them costs more than a system call.
constexpr std::size_t longest_message = 2048;

}  // namespace

// Not initialised: a message is written before it is sent.
// NOLINTBEGIN(cppcoreguidelines-pro-type-member-init)
struct ReplyCollector::Messages {
    struct Message {
        std::array<char, longest_message> data;
        SockAddr to;
        alignas(cmsghdr) std::array<std::byte, arrival_size> control;
        iovec part;
    };
    std::array<Message, most_messages> messages;
    std::array<mmsghdr, most_messages> headers;
};
// NOLINTEND(cppcoreguidelines-pro-type-member-init)

ReplyCollector::ReplyCollector(std::shared_ptr<Socket> socket, std::chrono::nanoseconds most_delay,
                               const std::atomic<std::size_t>& waiting)
    : socket_{std::move(socket)},
      most_delay_{most_delay},
      waiting_{waiting},
      process_{::getpid()},
      messages_{new (std::nothrow) Messages} {}

ReplyCollector::~ReplyCollector() { flush(); }

bool ReplyCollector::take(const Socket& socket, std::string_view data, const SockAddr& to,
                          const Arrival* arrival) noexcept {
    if (&socket != socket_.get() || messages_ == nullptr) return false;
    const bool is_last = waiting_.load(std::memory_order_relaxed) == 0;
    if (data.size() > longest_message || (is_last && count_ == 0)) {
        flush();
        return false;
    }
    Messages::Message& message = messages_->messages[count_];
    std::memcpy(message.data.data(), data.data(), data.size());
    message.to = to;
    message.part = {message.data.data(), data.size()};
    mmsghdr& header = messages_->headers[count_];
    header = {};
    header.msg_hdr.msg_name = message.to.get();
    header.msg_hdr.msg_namelen = message.to.size;
    header.msg_hdr.msg_iov = &message.part;
    header.msg_hdr.msg_iovlen = 1;
    if (arrival != nullptr) send_from(*arrival, header.msg_hdr, message.control.data());
    if (count_ == 0) first_at_ = Clock::now();
    if (++count_ == most_messages || is_last) flush();
    return true;
}

void ReplyCollector::flush() noexcept {
    if (count_ == 0) return;
    const std::size_t count = std::exchange(count_, 0);  // what waits below flushes as well
    if (::getpid() != process_) return;                  // the parent of a forked child sends them
    const int saved = errno;
    Channel& channel = socket_->channel();
    const TimePoint until = channel.until();
    for (std::size_t next = 0; next < count;) {
        const int sent = sys::retry_on_eintr([&] {
            return sys::calls.sendmmsg(channel.fd, &messages_->headers[next],
                                       static_cast<unsigned>(count - next),
                                       MSG_NOSIGNAL | MSG_DONTWAIT);
        });
        if (sent > 0) {
            next += static_cast<std::size_t>(sent);
        } else if (errno != EAGAIN || wait(channel, Direction::write, until) == -1) {
            if (channel.datagrams != nullptr) ++channel.datagrams->undelivered;
            ++next;
        }
    }
    errno = saved;
}

void ReplyCollector::look_after() noexcept {
    if (count_ == 0) return;
    if (waiting_.load(std::memory_order_relaxed) == 0 || Clock::now() - first_at_ >= most_delay_) {
        flush();
    }
}

}  // namespace socketserver::detail
