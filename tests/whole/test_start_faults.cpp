// SPDX-License-Identifier: MIT
// The n-th call of a constructor, or of the start of serve_forever(), fails, for each n. A
// constructor then throws, or does without; serve_forever() throws, or serves. Nothing is left
// behind, and a second attempt succeeds.
//
// A sample is tried; with SOCKETSERVER_TEST_ALL in the environment all are.
#include <array>
#include <atomic>
#include <cerrno>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

#include <sys/mman.h>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/nth_failure.hpp"
#include "support/policies.hpp"
#include "support/scripted_sys.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// What the kernel may say to each call of the table, and whether the library can do without.
struct Refusal {
    int error;
    bool is_tolerated = false;
    bool is_done = false;  ///< nevertheless: close(2) closes, whatever it says
};

/// Counts the calls of the table, in all processes that share it, and says which one fails.
struct Plan {
    std::atomic<bool> is_armed{false};
    std::atomic<long> counted{0};
    std::atomic<long> due{0};
    std::atomic<int> error{0};  ///< with which that one failed; 0: it was not reached
    std::atomic<bool> is_tolerated{false};

    void arm(long number) {
        counted = 0;
        due = number;
        error = 0;
        is_armed = true;
    }
    /// Whether a call has failed.
    bool disarm() {
        is_armed = false;
        return error != 0;
    }
    bool fails(Refusal refusal) {
        if (!is_armed || Fault::is_spared || ++counted != due) return false;
        is_tolerated = refusal.is_tolerated;
        error = refusal.error;
        return true;
    }
};
Plan* plan = nullptr;

template <auto Entry, Refusal refusal>
class Refusable;

/// Puts the plan in the place of one call of the table.
template <class Result, class... Arguments, Result (*sys::Calls::*Entry)(Arguments...),
          Refusal refusal>
class Refusable<Entry, refusal> {
  public:
    Refusable() { sys::calls.*Entry = &play; }
    Refusable(const Refusable&) = delete;
    Refusable& operator=(const Refusable&) = delete;
    ~Refusable() { sys::calls.*Entry = sys::kernel.*Entry; }

  private:
    static Result play(Arguments... arguments) {
        if (!plan->fails(refusal)) return (sys::kernel.*Entry)(arguments...);
        if constexpr (std::is_pointer_v<Result>) {
            errno = refusal.error;
            return MAP_FAILED;
        } else if constexpr (std::is_same_v<decltype(Entry), decltype(&Calls::pthread_create)>) {
            return refusal.error;
        } else {
            if constexpr (refusal.is_done) (sys::kernel.*Entry)(arguments...);
            errno = refusal.error;
            return -1;
        }
    }
};

struct EveryCall {
    Refusable<&Calls::socket, Refusal{EMFILE}> socket;
    Refusable<&Calls::socketpair, Refusal{ENFILE}> socketpair;
    Refusable<&Calls::bind, Refusal{EACCES}> bind;
    Refusable<&Calls::listen, Refusal{EADDRINUSE}> listen;
    Refusable<&Calls::accept4, Refusal{EMFILE}> accept4;
    // Asks only whether somebody uses the path.
    Refusable<&Calls::connect, Refusal{EAGAIN, true}> connect;
    Refusable<&Calls::close, Refusal{EINTR, true, true}> close;
    Refusable<&Calls::shutdown, Refusal{ENOTCONN, true}> shutdown;
    Refusable<&Calls::setsockopt, Refusal{ENOMEM}> setsockopt;
    Refusable<&Calls::eventfd, Refusal{EMFILE}> eventfd;
    Refusable<&Calls::epoll_create1, Refusal{ENOMEM}> epoll_create1;
    Refusable<&Calls::timerfd_create, Refusal{EMFILE}> timerfd_create;
    Refusable<&Calls::pipe2, Refusal{EMFILE}> pipe2;
    Refusable<&Calls::recv, Refusal{ECONNRESET}> recv;
    Refusable<&Calls::send, Refusal{ENOBUFS}> send;
    Refusable<&Calls::recvmsg, Refusal{ENOMEM}> recvmsg;
    Refusable<&Calls::recvmmsg, Refusal{ENOMEM}> recvmmsg;
    Refusable<&Calls::sendmsg, Refusal{ENOBUFS}> sendmsg;
    Refusable<&Calls::sendmmsg, Refusal{ENOBUFS}> sendmmsg;
    Refusable<&Calls::sendto, Refusal{ENOBUFS}> sendto;
    Refusable<&Calls::sendfile, Refusal{ENOMEM}> sendfile;
    Refusable<&Calls::splice, Refusal{ENOMEM}> splice;
    Refusable<&Calls::poll, Refusal{ENOMEM}> poll;
    Refusable<&Calls::epoll_ctl, Refusal{ENOSPC}> epoll_ctl;
    Refusable<&Calls::mmap, Refusal{ENOMEM}> mmap;
    Refusable<&Calls::mprotect, Refusal{ENOMEM}> mprotect;
    Refusable<&Calls::madvise, Refusal{ENOMEM, true}> madvise;
    Refusable<&Calls::fork, Refusal{EAGAIN}> fork;
    Refusable<&Calls::pidfd_open, Refusal{EMFILE}> pidfd_open;
    Refusable<&Calls::pidfd_send_signal, Refusal{ENOSYS}> pidfd_send_signal;
    Refusable<&Calls::waitpid, Refusal{EINTR}> waitpid;
    Refusable<&Calls::pthread_create, Refusal{EAGAIN}> pthread_create;
};

/// Memory that is shared with children: the kernel calls it so.
std::size_t shared_mappings() {
    std::ifstream maps{"/proc/self/maps"};
    std::size_t count = 0;
    for (std::string line; std::getline(maps, line);) {
        if (line.find("/dev/zero") != std::string::npos) ++count;
    }
    return count;
}

template <class Server>
constexpr SocketType type_of =
    std::is_same_v<typename Server::Request, Socket> ? SocketType::stream : SocketType::datagram;

/// One server at a time on one address, and what was there before it.
template <class Server>
class Starts {
  public:
    explicit Starts(Address address) : address_{std::move(address)} {
        serve_whole(*make());  // what is made once for the process is there now
        before_.emplace();
        mappings_ = shared_mappings();
    }

    std::unique_ptr<Server> make() const {
        ServerOptions options;
        options.max_connections = 8;
        options.max_connections_per_address = 8;
        auto server = std::make_unique<Server>(address_, options);
        if constexpr (requires { server->workers; }) server->workers = 2;
        return server;
    }

    /// Each n, or a sample. `attempt` returns false if there was no n-th call.
    void each(auto attempt) const {
        constexpr long most = 10'000;
        const long step = tries_all() ? 1 : 3;
        long number = 1;
        while (number < most && attempt(number)) {
            INFO("call " << number);
            if (!nothing_is_left()) break;
            // All of the first ones, because a constructor makes few calls.
            number += number < 24 ? 1 : step;
        }
        CHECK(number < most);
        CHECK(number > 3);
    }

    /// The constructor.
    bool construct(long number) const {
        std::unique_ptr<Server> server;
        std::optional<std::system_error> thrown;
        Fault::is_spared = false;
        plan->arm(number);
        try {
            server = make();
        } catch (const std::system_error& error) {
            thrown.emplace(error);
        }
        const bool has_failed = plan->disarm();
        Fault::is_spared = true;
        CAPTURE(number, plan->error.load());
        CHECK((server != nullptr || has_failed));
        if (thrown) {
            INFO(thrown->what());
            CHECK(thrown->code().value() == plan->error);
            // The port is known when the socket is bound.
            const std::string place =
                address_.is_unix() ? std::string{address_.path()} : address_.host() + ":";
            CHECK(std::string_view{thrown->what()}.find(place) != std::string_view::npos);
        } else if (has_failed) {
            CHECK(plan->is_tolerated);
            serve_whole(*server);
        }
        server.reset();
        CHECK(nothing_is_left());
        serve_whole(*make());
        return has_failed;
    }

    /// The start of serve_forever(), up to the first client.
    bool serve(long number) const {
        const auto server = make();
        plan->arm(number);
        std::optional<ServingThread> serving;
        serving.emplace(*server);
        be_first_client(*server, *serving);
        const bool has_failed = plan->disarm();
        CAPTURE(number, plan->error.load());
        if (serving->ended()) {
            serving->join();
            CHECK(error_value(serving->error()) == plan->error);
            serving.emplace(*server);
        }
        CHECK(is_answered(*server));
        serving->stop();
        CHECK_FALSE(serving->error());
        return has_failed;
    }

  private:
    static int error_value(const std::exception_ptr& error) {
        try {
            if (error) std::rethrow_exception(error);
        } catch (const std::system_error& failure) {
            return failure.code().value();
        }
        return 0;
    }

    static bool is_answered(const Server& server) {
        return ask(server.server_address(), long_line, type_of<Server>) == long_line;
    }

    static void serve_whole(Server& server) {
        ServingThread serving{server};
        CHECK(is_answered(server));
        serving.stop();
        CHECK_FALSE(serving.error());
    }

    /// It may get an answer or none, but it must be seen, unless the server ends.
    static void be_first_client(const Server& server, const ServingThread& serving) {
        Socket client = connect(server.server_address(), type_of<Server>);
        try {
            client.sendall(long_line);
        } catch (const std::system_error& error) {
            // The call that failed may have been one for this client, whose connection is closed.
            if (error.code().value() != EPIPE && error.code().value() != ECONNRESET) throw;
        }
        CHECK(eventually([&] { return serving.ended() || taken(server.statistics()) > 0; }));
        CHECK(eventually([&] { return serving.ended() || server.statistics().active == 0; }));
    }

    bool nothing_is_left() const {
        if (address_.is_unix() && std::filesystem::exists(address_.path())) return false;
        return before_->are_back() && eventually([this] { return shared_mappings() == mappings_; });
    }

    Address address_;
    std::optional<Counts> before_;
    std::size_t mappings_ = 0;
};

template <class Server>
void fail_each_call(const Address& address) {
    const Shared<Plan> shared;
    plan = &*shared;
    const EveryCall calls;
    const SilentStderr silent;
    Fault::is_spared = true;
    {
        const Starts<Server> starts{address};
        starts.each([&](long number) { return starts.construct(number); });
        starts.each([&](long number) { return starts.serve(number); });
    }
    Fault::is_spared = false;
}

}  // namespace

TEST_CASE("a TCP server starts or says why not, whatever call fails") {
    under_every_policy([]<template <class> class MixIn>() {
        fail_each_call<Attacked<TCPServer<FaultHandler, MixIn>>>(any_port);
    });
}

TEST_CASE("a UDP server starts or says why not, whatever call fails") {
    under_every_policy([]<template <class> class MixIn>() {
        fail_each_call<Attacked<UDPServer<FaultDatagramHandler, MixIn>>>(any_port);
    });
}

TEST_CASE("a Unix stream server starts or says why not, whatever call fails") {
    under_every_policy([]<template <class> class MixIn>() {
        const TemporaryFolder folder;
        fail_each_call<Attacked<UnixStreamServer<FaultHandler, MixIn>>>(Address{folder / "socket"});
    });
}

TEST_CASE("a Unix datagram server starts or says why not, whatever call fails") {
    under_every_policy([]<template <class> class MixIn>() {
        const TemporaryFolder folder;
        fail_each_call<Attacked<UnixDatagramServer<FaultDatagramHandler, MixIn>>>(
            Address{folder / "socket"});
    });
}
