// SPDX-License-Identifier: MIT
#include "server/datagram_queue.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <string>
#include <tuple>

#include "io/arrival.hpp"
#include "io/receive_datagram.hpp"
#include "io/sockaddr.hpp"
#include "io/socket_error.hpp"
#include "os/sys.hpp"

namespace socketserver::detail {

namespace {

/// After how many datagrams that were received one by one a batch is tried. To receive a single one
/// by recvmmsg(2) costs more than by recvmsg(2). So if it was a single one, because a client waits
/// for each reply, the next try comes after twice as many.
constexpr std::size_t first_try_after = 4;
constexpr std::size_t last_try_after = 64;
/// How large the buffers of a batch may be together. The kernel provides only those pages that are
/// written to.
constexpr std::size_t most_memory = std::size_t{2} << 20U;
/// Between the buffers of two datagrams, so that their first bytes do not share the few lines of a
/// processor's cache that addresses with equal low bits have.
constexpr std::size_t gap = 192;

}  // namespace

struct DatagramQueue::Batch {
    explicit Batch(std::size_t max_packet_size)
        : size{max_packet_size},
          // Not initialised: see most_memory.
          buffer{new char[most * stride()]} {
        for (std::size_t i = 0; i < most; ++i) {
            parts[i] = {buffer.get() + i * stride(), size};
            headers[i].msg_hdr.msg_name = peers[i].get();
            headers[i].msg_hdr.msg_iov = &parts[i];
            headers[i].msg_hdr.msg_iovlen = 1;
        }
    }
    std::size_t stride() const noexcept { return (size + gap) / 64 * 64; }
    static bool has_room_for(std::size_t max_packet_size) noexcept {
        return max_packet_size <= most_memory / most;
    }

    std::size_t size;
    std::unique_ptr<char[]> buffer;  // NOLINT(modernize-avoid-c-arrays)
    std::size_t next = 0;
    std::size_t count = 0;
    std::array<mmsghdr, most> headers{};
    std::array<iovec, most> parts{};
    std::array<SockAddr, most> peers{};
    struct alignas(cmsghdr) Control {
        std::array<std::byte, arrival_size> bytes;
    };
    std::array<Control, most> control{};
};

DatagramQueue::DatagramQueue() : try_after_{first_try_after} {}
DatagramQueue::~DatagramQueue() = default;

std::optional<std::pair<Datagram, Address>> DatagramQueue::take(
    const std::shared_ptr<Socket>& socket, std::size_t max_packet_size, bool is_told) {
    // While another thread takes from the batch, this one takes what the kernel has.
    if (is_busy_.test_and_set(std::memory_order_acquire)) {
        return take_one(socket, max_packet_size, is_told);
    }
    struct Release {
        explicit Release(std::atomic_flag& of) noexcept : flag{of} {}
        Release(const Release&) = delete;
        Release& operator=(const Release&) = delete;
        ~Release() { flag.clear(std::memory_order_release); }
        std::atomic_flag& flag;
    };
    const Release at_end{is_busy_};
    if (has_waiting()) return take_from_batch(socket);
    if (!are_many_ || !allows_batches() || !Batch::has_room_for(max_packet_size)) {
        auto one = take_one(socket, max_packet_size, is_told);
        if (one && ++singles_ >= try_after_) {
            singles_ = 0;
            are_many_ = true;
        }
        return one;
    }
    if (!receive_batch(*socket, max_packet_size, is_told)) return {};
    return take_from_batch(socket);
}

std::optional<std::pair<Datagram, Address>> DatagramQueue::take_one(
    const std::shared_ptr<Socket>& socket, std::size_t max_packet_size, bool is_told) {
    std::optional<std::pair<Datagram, Address>> taken;
    auto received = receive_datagram(socket->fileno(), max_packet_size, is_told);
    if (received) {
        received->count(socket->channel());
        taken.emplace(std::piecewise_construct,
                      std::forward_as_tuple(std::move(received->data), received->truncated, socket,
                                            received->arrival),
                      std::forward_as_tuple(std::move(received->from)));
    } else if (errno != EAGAIN) {
        throw_system_error("receive a datagram");
    }
    return taken;
}

bool DatagramQueue::receive_batch(const Socket& socket, std::size_t max_packet_size, bool is_told) {
    if (!batch_ || batch_->size != max_packet_size) {
        batch_ = std::make_unique<Batch>(max_packet_size);
    }
    Batch& batch = *batch_;
    const int received = sys::retry_on_eintr([&] {
        for (std::size_t i = 0; i < most; ++i) {
            msghdr& message = batch.headers[i].msg_hdr;
            message.msg_namelen = sizeof batch.peers[i].storage;
            message.msg_control = is_told ? &batch.control[i] : nullptr;
            message.msg_controllen = is_told ? arrival_size : 0;
        }
        return sys::calls.recvmmsg(socket.fileno(), batch.headers.data(),
                                   static_cast<unsigned>(most), MSG_DONTWAIT);
    });
    if (received == -1) {
        if (errno == EAGAIN) return false;
        throw_system_error("receive datagrams");
    }
    batch.next = 0;
    batch.count = static_cast<std::size_t>(received);
    waiting_.store(batch.count, std::memory_order_relaxed);
    are_many_ = batch.count > 1;
    try_after_ = are_many_ ? 1 : std::min(2 * try_after_, last_try_after);
    return true;
}

/// @throws std::bad_alloc, with the datagram still in the batch.
std::pair<Datagram, Address> DatagramQueue::take_from_batch(const std::shared_ptr<Socket>& socket) {
    Batch& batch = *batch_;
    mmsghdr& header = batch.headers[batch.next];
    SockAddr& peer = batch.peers[batch.next];
    peer.size = header.msg_hdr.msg_namelen;
    ReceivedDatagram received{
        std::string(static_cast<const char*>(batch.parts[batch.next].iov_base), header.msg_len),
        (header.msg_hdr.msg_flags & MSG_TRUNC) != 0,
        peer.size == 0 ? Address{} : from_sockaddr(peer)};
    received.arrival = arrival_of(header.msg_hdr, received.dropped);
    received.count(socket->channel());
    ++batch.next;
    waiting_.store(batch.count - batch.next, std::memory_order_relaxed);
    return {std::piecewise_construct,
            std::forward_as_tuple(std::move(received.data), received.truncated, socket,
                                  received.arrival),
            std::forward_as_tuple(std::move(received.from))};
}

void DatagramQueue::leave_to_parent() noexcept {
    is_busy_.clear();  // another thread of the parent may have been at work at the fork
    allow_batches(false);
    waiting_.store(0);
    singles_ = 0;
    try_after_ = first_try_after;
    are_many_ = false;
}

}  // namespace socketserver::detail
