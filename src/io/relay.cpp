// SPDX-License-Identifier: MIT
#include "socketserver/relay.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "io/buffer_pool.hpp"
#include "io/poller.hpp"
#include "io/request_hooks.hpp"
#include "io/socket_error.hpp"
#include "io/splice_pipe.hpp"
#include "io/waiting.hpp"
#include "socketserver/buffered_reader.hpp"
#include "socketserver/detail/io/blocking_io.hpp"
#include "socketserver/errors.hpp"
#include "socketserver/socket.hpp"

namespace socketserver {

namespace detail {

namespace {

/// How many bytes are passed on at a time.
constexpr std::size_t piece = std::size_t{64} * 1024;
/// After how many full pieces in sequence the data is spliced rather than copied. A short exchange
/// is over before a pipe has paid for itself.
constexpr int full_before_splice = 8;
/// After how many spliced pieces in sequence that were small it is copied again.
constexpr int small_before_copy = 8;

void add_event(pollfd& entry, Direction direction) {
    entry.events =
        static_cast<short>(entry.events | (direction == Direction::read ? POLLIN : POLLOUT));
}

/// The error of a connection that hung up.
int error_of(int fd) noexcept {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == -1 || error == 0) return EPIPE;
    return error;
}

}  // namespace

/// One of the two connections. The functions that receive and send do not wait.
class RelaySide {
  public:
    explicit RelaySide(const RelayPeer& peer)
        : reader_{peer.reader()}, socket_{reader_ == nullptr ? *peer.socket() : source()} {
        if (!socket_.is_open()) {
            throw std::system_error(EBADF, std::system_category(), "relay: a connection");
        }
    }

    Channel& channel() const noexcept { return socket_.channel(); }
    bool is_plain() const noexcept { return channel().filter == nullptr; }
    /// Whether its bytes may be spliced: those of a TCP connection, which no filter has to see.
    bool may_splice() const noexcept { return is_plain() && channel().stream == ByteStream::tcp; }
    /// To be called before its bytes are spliced: splice(2) has no MSG_DONTWAIT.
    void begin_splice() {
        if (!non_blocking_) non_blocking_.emplace(channel().fd);
    }
    /// The error that broke the connection, or no error if it is not broken.
    const std::error_code& error() const noexcept { return error_; }
    /// Whether no more input will come because the connection is broken.
    bool is_input_broken() const noexcept { return is_input_broken_; }

    /// Takes the bytes that its reader has read ahead.
    std::string take_read_ahead() {
        return reader_ == nullptr ? "" : std::string{reader_->take(reader_->buffered())};
    }
    void send_held_back() { socket_.flush_corked(); }

    /// Returns -1 if nothing has come or the connection is broken, and 0 if the peer has ended its
    /// output.
    std::ptrdiff_t receive(char* data) {
        std::ptrdiff_t received = -1;
        is_input_broken_ =
            breaks([&] { received = socket_.receive_some(data, piece, MSG_DONTWAIT); });
        return received;
    }
    /// The same into a pipe. Sets `is_impossible` if these bytes cannot be spliced.
    std::ptrdiff_t receive(SplicePipe& pipe, bool& is_impossible) {
        std::ptrdiff_t received = -1;
        is_input_broken_ = breaks([&] {
            const Input input = before_receive(channel(), false);
            received = after_receive(channel(), pipe.receive(channel().fd));
            if (received != -1) return;
            is_impossible = errno == EINVAL;
            if (errno != EAGAIN && !is_impossible) throw_io_error(channel(), "relay");
            if (input != Input::look || is_impossible) return;
            ended_by_drain(channel());
            received = 0;
        });
        return received;
    }
    std::size_t send(SplicePipe& pipe) {
        std::ptrdiff_t sent = -1;
        breaks([&] {
            before_send(channel(), "relay");
            sent = after_send(channel(), pipe.send(channel().fd));
            if (sent == -1 && errno != EAGAIN) throw_io_error(channel(), "relay");
        });
        return sent == -1 ? 0 : static_cast<std::size_t>(sent);
    }
    /// Returns how many bytes the kernel took.
    std::size_t send(std::string_view data) {
        std::ptrdiff_t sent = -1;
        breaks([&] {
            before_send(channel(), "relay");
            sent = socket_.send_some(data, MSG_DONTWAIT);
        });
        return sent == -1 ? 0 : static_cast<std::size_t>(sent);
    }
    void end_output() {
        breaks([&] { socket_.shutdown(ShutdownHow::write); });
    }
    /// Called when poll(2) has reported that the connection hung up.
    void hang_up() {
        breaks([&] {
            errno = error_of(channel().fd);
            after_send(channel(), -1);
            throw_io_error(channel(), "relay");
        });
    }

    Direction input_needs() const {
        return is_plain() ? Direction::read : channel().filter->recv_waits_for();
    }
    Direction output_needs() const {
        return is_plain() ? Direction::write : channel().filter->send_waits_for();
    }

  private:
    Socket& source() const {
        if (reader_->source_ == nullptr) throw std::invalid_argument("relay: a reader of memory");
        return *reader_->source_;
    }
    /// Runs the operation, and returns whether the connection turned out to be broken. Exceptions
    /// of the server (Cancelled, and its time limits) are passed on, because the connection did not
    /// cause them.
    template <class Operation>
    bool breaks(Operation operation) {
        try {
            operation();
            return false;
        } catch (const TimeoutError&) {
            throw;
        } catch (const std::system_error& error) {
            if (!error_) error_ = error.code();
            return true;
        }
    }

    BufferedReader* reader_;
    Socket& socket_;
    std::optional<NonBlocking> non_blocking_;
    std::error_code error_;
    bool is_input_broken_ = false;
};

namespace {

/// One direction: the data that goes from one side to the other.
class Flow {
  public:
    Flow(RelaySide& from, RelaySide& to) : from_{from}, to_{to}, pending_{from.take_read_ahead()} {}

    std::uint64_t passed_on() const noexcept { return passed_on_; }
    bool is_over() const noexcept { return is_over_; }
    void give_up() noexcept { is_over_ = true; }
    /// Whether move() may find something to do.
    bool may_move() const noexcept { return may_move_ && !is_over_; }
    /// Passes on the data that has come, at most one piece. Returns whether any data moved.
    bool move() {
        const bool moved = has_pending() ? pass_on_pending() : pass_on_input();
        if (has_ended_ && !has_pending() && !is_over_) {
            to_.end_output();
            is_over_ = true;
        }
        return moved;
    }

    /// To be called when move() has nothing to do: adds the events for which it waits to the
    /// entries of its two sides.
    void want(pollfd& from, pollfd& to) const {
        if (is_over_) return;
        if (has_pending()) {
            add_event(to, to_.output_needs());
        } else {
            add_event(from, from_.input_needs());
        }
    }
    /// Returns false if move() may find something to do, so that there must be no wait.
    bool begin_wait() {
        if (is_over_ || has_pending()) return true;
        waits_for_input_ = true;
        may_move_ = before_receive(from_.channel(), false) == Input::look;
        return !may_move_;
    }
    void end_wait() noexcept {
        if (std::exchange(waits_for_input_, false)) after_wait(from_.channel());
    }
    /// To be called after the wait.
    void look_at(const pollfd& from, const pollfd& to) noexcept {
        may_move_ = (has_pending() ? to : from).revents != 0;
    }

  private:
    bool has_pending() const noexcept {
        return !pending_.empty() || (pipe_ != nullptr && pipe_->size() > 0);
    }
    bool pass_on_input() {
        if (is_spliced_) return splice_input();
        const PooledBuffer buffer{piece};
        const std::ptrdiff_t received = from_.receive(buffer.data());
        has_ended_ = received == 0;
        if (received > 0) send({buffer.data(), static_cast<std::size_t>(received)});
        const bool is_full = received > 0 && static_cast<std::size_t>(received) == piece;
        // If a plain connection delivered fewer bytes than there was room for, it has no more at
        // the moment.
        may_move_ = received > 0 && pending_.empty() && (is_full || !from_.is_plain());
        in_sequence_ = is_full ? in_sequence_ + 1 : 0;
        if (in_sequence_ >= full_before_splice && may_splice_) begin_splice();
        return received >= 0;
    }
    /// Data that is still pending is sent before anything is spliced.
    void begin_splice() {
        in_sequence_ = 0;
        may_splice_ = from_.may_splice() && to_.may_splice();
        if (!may_splice_) return;
        if (pipe_ == nullptr) pipe_ = SplicePipe::make();
        is_spliced_ = may_splice_ = pipe_ != nullptr;
        if (!is_spliced_) return;
        from_.begin_splice();
        to_.begin_splice();
    }
    bool splice_input() {
        bool is_impossible = false;
        const std::ptrdiff_t received = from_.receive(*pipe_, is_impossible);
        if (is_impossible) {
            may_splice_ = is_spliced_ = false;
            return false;
        }
        has_ended_ = received == 0;
        if (received > 0) send_pipe();
        const bool is_full = received > 0 && static_cast<std::size_t>(received) >= piece;
        may_move_ = is_full && !has_pending();
        in_sequence_ = is_full ? 0 : in_sequence_ + 1;
        if (in_sequence_ >= small_before_copy) {
            in_sequence_ = 0;
            is_spliced_ = false;
        }
        return received >= 0;
    }
    bool pass_on_pending() {
        const std::uint64_t before = passed_on_;
        if (pending_.empty()) {
            send_pipe();
        } else {
            send(std::exchange(pending_, {}));
        }
        may_move_ = !has_pending();
        return passed_on_ != before;
    }
    void send_pipe() {
        while (pipe_->size() > 0) {
            const std::size_t sent = to_.send(*pipe_);
            if (to_.error()) is_over_ = true;
            if (sent == 0) break;
            passed_on_ += sent;
        }
    }
    void send(std::string_view data) {
        while (!data.empty()) {
            const std::size_t sent = to_.send(data);
            if (to_.error()) is_over_ = true;
            if (sent == 0) break;
            passed_on_ += sent;
            data.remove_prefix(sent);
        }
        pending_ = data;
    }

    RelaySide& from_;
    RelaySide& to_;
    std::string pending_;  // came from one side, and the other side has not taken it yet
    std::uint64_t passed_on_ = 0;
    bool has_ended_ = false;  // no more input comes
    bool is_over_ = false;    // no more data is passed on
    bool may_move_ = true;
    bool waits_for_input_ = false;
    bool may_splice_ = true;
    bool is_spliced_ = false;
    int in_sequence_ = 0;  // full pieces while data is copied, small ones while it is spliced
    std::unique_ptr<SplicePipe> pipe_;
};

class Relay {
  public:
    Relay(const RelayPeer& a, const RelayPeer& b, std::optional<std::chrono::nanoseconds> idle_time)
        : a_{a}, b_{b}, idle_time_{idle_time} {
        poller_.channels = {&a_.channel(), &b_.channel()};
    }

    RelayResult run() {
        a_.send_held_back();
        b_.send_held_back();
        RelayResult result;
        for (begin_idle_time(); !is_over();) {
            if (begin_operation() == -1) throw_io_error(a_.channel(), "relay");
            if (forward_.may_move() || backward_.may_move()) {
                move();
            } else if (!wait()) {
                result.end = RelayEnd::idle;
                break;
            }
        }
        result.a_to_b = forward_.passed_on();
        result.b_to_a = backward_.passed_on();
        if (broken_ != nullptr) {
            result.end = broken_ == &a_ ? RelayEnd::a_failed : RelayEnd::b_failed;
            result.error = broken_->error();
        }
        return result;
    }

  private:
    bool is_over() const noexcept {
        return (forward_.is_over() && backward_.is_over()) || a_.is_input_broken() ||
               b_.is_input_broken();
    }
    void begin_idle_time() {
        if (idle_time_) idle_at_ = deadline_after(*idle_time_);
    }
    void move() {
        bool moved = false;
        for (Flow* flow : {&forward_, &backward_}) {
            if (flow->may_move() && flow->move()) moved = true;
            note_broken();
        }
        if (moved) begin_idle_time();
    }
    /// Notes which side broke first.
    void note_broken() noexcept {
        if (broken_ != nullptr) return;
        if (a_.error()) broken_ = &a_;
        if (b_.error()) broken_ = &b_;
    }

    /// Returns false if the idle time is over.
    bool wait() {
        pollfd a{a_.channel().fd, 0, 0};
        pollfd b{b_.channel().fd, 0, 0};
        forward_.want(a, b);
        backward_.want(b, a);
        // poll(2) would report it again and again.
        if (a.events == 0 && a_hung_up_) a.fd = -1;
        if (b.events == 0 && b_hung_up_) b.fd = -1;

        const int ready = wait_for_events(a, b);
        if (ready == 0) return !is_time_over();
        if (ready == -1) return true;
        forward_.look_at(a, b);
        backward_.look_at(b, a);
        if (a.events == 0 && a.revents != 0) hang_up(a_, a_hung_up_, forward_, backward_);
        if (b.events == 0 && b.revents != 0) hang_up(b_, b_hung_up_, backward_, forward_);
        return true;
    }

    /// Returns -1 if there is nothing to wait for.
    int wait_for_events(pollfd& a, pollfd& b) {
        struct Around {
            Relay& relay;
            ~Around() {
                relay.forward_.end_wait();
                relay.backward_.end_wait();
            }
        };
        int ready = -1;
        {
            const Around around{*this};
            const bool forward_waits = forward_.begin_wait();
            const bool backward_waits = backward_.begin_wait();
            if (!forward_waits || !backward_waits) return -1;
            poller_.entries = {a, b};
            ready = poller_.wait(
                std::min({idle_at_, a_.channel().deadline.load(), b_.channel().deadline.load()}));
        }
        if (ready == -1) throw_io_error(a_.channel(), "relay");
        a = poller_.entries[0];
        b = poller_.entries[1];
        return ready;
    }

    bool is_time_over() {
        const TimePoint now = Clock::now();
        for (Channel* each : {&a_.channel(), &b_.channel()}) {
            if (each->deadline.load() > now) continue;
            errno = ETIMEDOUT;
            throw_io_error(*each, "relay");
        }
        return idle_at_ <= now;
    }

    /// Called for a side from which nothing is read at the moment. If all of its input was read
    /// before, its peer is gone, and nothing more is sent to it.
    void hang_up(RelaySide& side, bool& has_hung_up, const Flow& from, Flow& to) {
        has_hung_up = true;
        if (!from.is_over() || to.is_over()) return;
        side.hang_up();
        note_broken();
        to.give_up();
    }

    RelaySide a_;
    RelaySide b_;
    Flow forward_{a_, b_};
    Flow backward_{b_, a_};
    const RelaySide* broken_ = nullptr;
    bool a_hung_up_ = false;
    bool b_hung_up_ = false;
    const std::optional<std::chrono::nanoseconds> idle_time_;
    TimePoint idle_at_ = never;
    Poller poller_{a_.channel().connection ? a_.channel().connection.get()
                                           : b_.channel().connection.get()};
};

}  // namespace

}  // namespace detail

RelayResult relay(RelayPeer a, RelayPeer b, std::optional<std::chrono::nanoseconds> idle_timeout) {
    return detail::Relay{a, b, idle_timeout}.run();
}

}  // namespace socketserver
