// SPDX-License-Identifier: MIT
// A whole server, of threads or of fibers, and a script of what its clients and its owner do:
// connect, send, half-close, reset, stop, serve again, drain, in any order. Every byte that a
// client gets is right; a client that nothing was done to gets all of them; everything ends, and
// nothing is left.
#include <socketserver/socketserver.hpp>
#ifdef SOCKETSERVER_FUZZ_FIBER
#    include <socketserver/fiber_mixin.hpp>
#endif

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "require.hpp"
#include "script.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"

namespace {

using fuzz::require;
using fuzz::Script;
namespace ss = socketserver;
namespace tests = socketserver::tests;
using namespace std::chrono_literals;

/// The stream of client `number`: lines, and no two clients send the same.
std::string part_of_stream(std::size_t number, std::size_t from, std::size_t size) {
    std::string part;
    for (std::size_t at = from; at < from + size; ++at) {
        part += at % 13 == 12 ? '\n' : static_cast<char>('a' + (at + number * 6) % 26);
    }
    return part;
}

/// One after the other; each sees its own bytes come back.
class Client {
  public:
    explicit Client(std::size_t number) : number_{number} {}
    void connect(const ss::Address& address) {
        if (socket_) return;
        try {
            socket_ = ss::create_connection(address, ss::SocketType::stream, 20s);
        } catch (const std::system_error&) {
            return;  // nobody listens any more
        }
        number_ += 4;
        sent_ = 0;
        got_ = 0;
        has_ended_ = false;
        is_undisturbed_ = true;
    }
    void send(std::size_t size) {
        if (!socket_ || has_ended_ || sent_ + size > 8192) return;  // less than buffers hold
        try {
            socket_->sendall(part_of_stream(number_, sent_, size));
            sent_ += size;
        } catch (const std::system_error&) {
            require(!is_undisturbed_, "the server ends the connection of a client");
            socket_.reset();
        }
    }
    void half_close() {
        if (!socket_ || std::exchange(has_ended_, true)) return;
        try {
            socket_->shutdown(ss::ShutdownHow::write);
        } catch (const std::system_error&) {
            require(!is_undisturbed_, "the server ends the connection of a client");
            socket_.reset();
        }
    }
    void reset() {
        if (socket_) tests::reset(*socket_);
        socket_.reset();
    }
    void close() { socket_.reset(); }
    /// All lines that are whole, if nothing has been done to the server; what there is otherwise.
    void receive() {
        if (!socket_) return;
        if (!is_undisturbed_) {
            receive_some(true);
            return;
        }
        const std::size_t whole = has_ended_ ? sent_ : sent_ / 13 * 13;
        while (got_ < whole) {
            require(receive_some(false), "the server ends the connection of a client");
        }
    }
    /// From now on its connection may be ended at any time.
    void disturb() { is_undisturbed_ = false; }
    void check_end() {
        if (!socket_) return;
        if (is_undisturbed_) {
            half_close();
            receive();
            require(!receive_some(false), "bytes behind the end");
        }
        socket_.reset();
    }

  private:
    /// False: the end, or nothing was there.
    bool receive_some(bool is_at_once) {
        std::string part;
        try {
            socket_->settimeout(is_at_once ? 0s : 20s);
            part = socket_->recv(65536);
            socket_->settimeout(20s);
        } catch (const std::system_error& error) {
            if (is_at_once && error.code() == std::errc::resource_unavailable_try_again) {
                socket_->settimeout(20s);
                return false;
            }
            require(error.code() == std::errc::connection_reset, "an answer does not come");
            require(!is_undisturbed_, "the server resets the connection of a client");
            socket_.reset();
            return false;
        }
        require(got_ + part.size() <= sent_ && part == part_of_stream(number_, got_, part.size()),
                "a client gets other bytes than its own");
        got_ += part.size();
        return !part.empty();
    }

    std::size_t number_;
    std::optional<ss::Socket> socket_{};
    std::size_t sent_ = 0;
    std::size_t got_ = 0;
    bool has_ended_ = false;
    bool is_undisturbed_ = true;
};

class EchoLines : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

/// Its own errors are findings; those of requests are what stops and resets make of them.
template <class Base>
class Server : public Base {
  public:
    using Base::Base;
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() override { this->server_close(); }

  protected:
    void handle_error(ss::Socket&, const ss::Address&, std::exception_ptr) override {}
    void handle_server_error(std::exception_ptr) override {
        require(false, "an error of the server itself");
    }
};

template <class Base>
void run(const ss::Address& address, Script& script) {
    Server<Base> server{address};
    // No turn of the loop comes by itself: what does not wake it is never seen.
    std::optional<tests::ServingThread> serving{std::in_place, server, 1h};
    std::array clients{Client{0}, Client{1}, Client{2}, Client{3}};
    bool is_drained = false;
    const auto disturb_all = [&] {
        for (Client& each : clients) each.disturb();
    };
    const ss::Address bound = server.server_address();
    for (int step = 0; step < 100 && !script.is_over(); ++step) {
        const std::size_t byte = script.next();
        Client& client = clients[byte / 16 % 4];
        switch (byte % 16) {
            case 0:
            case 1:
            case 2:
                client.connect(bound);
                if (!serving || is_drained) client.disturb();
                break;
            case 3:
            case 4:
            case 5:
                client.send(1 + script.next());
                break;
            case 6:
            case 7:
                client.receive();
                break;
            case 8:
                client.half_close();
                break;
            case 9:
                client.reset();
                break;
            case 10:
                client.close();
                break;
            case 11:
                disturb_all();
                serving.reset();
                break;
            case 12:
                if (!serving && !is_drained) serving.emplace(server, 1h);
                break;
            case 13:
                if (!serving || std::exchange(is_drained, true)) break;
                disturb_all();
                server.drain(std::chrono::milliseconds{script.next() % 3});
                break;
            default:
                std::this_thread::yield();
                break;
        }
    }
    for (Client& each : clients) each.check_end();
    if (script.next() % 2 == 0) serving.reset();
    server.server_close();
    if (serving) serving->stop();
    const ss::Statistics statistics = server.statistics();
    require(statistics.active == 0, "a request is left");
    require(statistics.accepted == statistics.closed() + statistics.refused(), "the counters");
}

template <template <class> class MixIn>
void run_over_either(bool is_unix, Script& script) {
    if (is_unix) {
        run<ss::UnixStreamServer<EchoLines, MixIn>>('@' + tests::own_name("fuzz"), script);
    } else {
        run<ss::TCPServer<EchoLines, MixIn>>(tests::any_port, script);
    }
}

}  // namespace

/// The first byte says of what kind the server is; each further one what happens next, and to whom.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    Script script{{reinterpret_cast<const char*>(data) + 1, size - 1}};
    const std::size_t descriptors = tests::open_descriptors();
    const std::size_t threads = tests::thread_count();
    const bool is_unix = (data[0] & 1) != 0;
#ifdef SOCKETSERVER_FUZZ_FIBER
    if ((data[0] & 2) != 0) {
        run_over_either<ss::FiberMixIn>(is_unix, script);
    } else {
        run_over_either<ss::ThreadingMixIn>(is_unix, script);
    }
#else
    run_over_either<ss::ThreadingMixIn>(is_unix, script);
#endif
    require(tests::open_descriptors() == descriptors, "a descriptor is left");
    require(tests::eventually([&] { return tests::thread_count() == threads; }),
            "a thread is left");
    return 0;
}
