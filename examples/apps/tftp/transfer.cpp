// SPDX-License-Identifier: MIT
#include "transfer.hpp"

#include <algorithm>
#include <deque>
#include <system_error>
#include <utility>

namespace tftp {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t largest_datagram = 65535;

/// On the address that the client has asked, and a port that the kernel chooses.
ss::Socket connected(const ss::Address& local, const ss::Address& client) {
    ss::Socket socket{local, ss::SocketType::datagram};
    socket.bind(ss::Address{local.host(), 0});
    socket.connect(client);
    return socket;
}

}  // namespace

std::optional<std::string> receive_if_there(ss::Socket& session) {
    session.settimeout(std::chrono::nanoseconds{0});
    try {
        return session.recv(largest_datagram);
    } catch (const std::system_error& error) {
        if (error.code() != std::errc::resource_unavailable_try_again) throw;
        return {};
    }
}

Transfer::Transfer(ss::Socket& session, const ss::Address& client, std::string request,
                   const Rules& rules)
    : session_{session},
      socket_{connected(session.getsockname(), client)},
      rules_{rules},
      request_{std::move(request)} {}

void Transfer::refuse(const Refusal& refusal) {
    socket_.sendall(error_packet(refusal.code, refusal.what()));
}

void Transfer::give_up() { refuse({ErrorCode::undefined, "no answer has come"}); }

/// Waits for what the client sends.
Transfer::Event Transfer::wait(TimePoint until) {
    for (;;) {
        const auto left = until - Clock::now();
        if (left <= left.zero()) return Event::silence;
        const auto ready = ss::select({session_, socket_}, left);
        if (ready[1]) {
            packet_ = socket_.recv(largest_datagram);
            return Event::packet;
        }
        if (ready[0]) {
            const auto request = receive_if_there(session_);
            // The request may come once more, before the first answer was there.
            if (!request || *request == request_) continue;
            next_ = *request;
            return Event::over;
        }
    }
}

/// Waits for a packet of a kind. Everything else that the client sends ends the transfer.
Transfer::Event Transfer::wait_for(Opcode opcode, TimePoint until) {
    const Event event = wait(until);
    if (event != Event::packet) return event;
    const auto numbered = parse_numbered(packet_);
    if (!numbered || numbered->opcode != opcode) return Event::over;
    numbered_ = *numbered;
    return Event::packet;
}

/// How many of `size` packets, from the number `first` on, the client says that it has; 0: it has
/// said nothing. Nothing: the transfer is over. What it says again about earlier ones is passed
/// over: who answers that would send everything twice from there on.
std::optional<std::size_t> Transfer::acknowledged(std::uint16_t first, std::size_t size,
                                                  TimePoint until) {
    for (;;) {
        const Event event = wait_for(Opcode::ack, until);
        if (event == Event::over) return {};
        if (event == Event::silence) return 0;
        const auto count = static_cast<std::uint16_t>(numbered_.number - first + 1);
        if (count >= 1 && count <= size) return count;
    }
}

// [send]
void Transfer::send(Source& source, const Terms& terms) {
    std::deque<std::string> window;  // what the client has not acknowledged yet
    std::uint16_t first = 1;         // the number of the first of it
    if (!terms.accepted.empty()) {
        window.push_back(option_ack_packet(terms.accepted));
        first = 0;
    }
    bool is_agreed = window.empty();
    bool is_read = false;
    int tries = 0;
    for (;;) {
        while (is_agreed && !is_read && window.size() < terms.window) {
            const std::string block = source.read(terms.block_size);
            is_read = block.size() < terms.block_size;
            const auto number = static_cast<std::uint16_t>(first + window.size());
            window.push_back(data_packet(number, block));
        }
        if (window.empty()) return;
        if (++tries > rules_.tries) return give_up();
        for (const std::string& packet : window) socket_.sendall(packet);
        const auto count = acknowledged(first, window.size(), Clock::now() + terms.timeout);
        if (!count) return;
        if (*count == 0) continue;
        window.erase(window.begin(), window.begin() + static_cast<std::ptrdiff_t>(*count));
        first = static_cast<std::uint16_t>(first + *count);
        is_agreed = true;
        tries = 0;
    }
}
// [send]

void Transfer::receive(Sink& sink, const Terms& terms) {
    std::string answer = terms.accepted.empty() ? ack_packet(0) : option_ack_packet(terms.accepted);
    std::uint16_t last = 0;     // up to this number all is there
    std::size_t in_window = 0;  // of what is there, not acknowledged yet
    bool is_gap_known = false;  // to the client
    int tries = 0;
    TimePoint until{};  // then the answer is sent again, whatever else has come
    for (bool is_due = true;;) {
        if (is_due) {
            socket_.sendall(answer);
            in_window = 0;
            until = Clock::now() + terms.timeout;
        }
        const Event event = wait_for(Opcode::data, until);
        if (event == Event::over) return;
        if (event == Event::silence) {
            if (++tries >= rules_.tries) return give_up();
            is_due = true;
        } else if (numbered_.number == static_cast<std::uint16_t>(last + 1)) {
            sink.write(numbered_.data);
            answer = ack_packet(++last);
            if (numbered_.data.size() < terms.block_size) break;
            is_due = ++in_window == terms.window;
            is_gap_known = false;
            tries = 0;
            until = Clock::now() + terms.timeout;
        } else {  // an earlier one, because the answer was lost, or a later one
            is_due = terms.window == 1 || !is_gap_known;
            is_gap_known = true;
        }
    }
    sink.commit();
    socket_.sendall(answer);
    // A client may ask for long times, and a drain waits for this.
    repeat_while_wanted(answer, std::min(2 * terms.timeout, rules_.tries * rules_.timeout));
}

/// The last acknowledgement may be lost, and only the client would notice.
void Transfer::repeat_while_wanted(const std::string& answer, std::chrono::nanoseconds within) {
    while (wait_for(Opcode::data, Clock::now() + within) == Event::packet) socket_.sendall(answer);
}

}  // namespace tftp
