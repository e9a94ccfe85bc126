// SPDX-License-Identifier: MIT
// Servers of every policy where the kernel refuses one of its newer calls: an old one answers
// ENOSYS (or EINVAL for an advice that it does not know), and the filter of a container EPERM or
// ENOSYS. Here a filter of seccomp(2) does so.
#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

#include <csignal>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/in_child.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

/// A call, whichever arguments it has, or only if the third is this one.
struct Call {
    const char* name;
    long number;
    std::optional<std::uint32_t> third_argument = {};
};

// As the kernel numbers them on every processor; the headers of older systems have not all of them.
constexpr long epoll_pwait2_number = 441;
constexpr long close_range_number = 436;
constexpr std::uint32_t guard_install = 102;

constexpr std::array calls{
    Call{"pidfd_open", SYS_pidfd_open},
    Call{"pidfd_send_signal", SYS_pidfd_send_signal},
    Call{"epoll_pwait2", epoll_pwait2_number},
    Call{"close_range", close_range_number},
    Call{"getrandom", SYS_getrandom},
    Call{"madvise(MADV_GUARD_INSTALL)", SYS_madvise, guard_install},
};

/// Lets the call fail in this process, its threads and its children, for ever.
void refuse(const Call& call, int error) {
    constexpr std::uint32_t low_word = std::endian::native == std::endian::little ? 0 : 4;
    constexpr std::uint32_t which = offsetof(seccomp_data, nr);
    constexpr std::uint32_t third =
        offsetof(seccomp_data, args) + 2 * sizeof(std::uint64_t) + low_word;
    const auto number = static_cast<std::uint32_t>(call.number);
    const std::uint32_t answer =
        SECCOMP_RET_ERRNO | (static_cast<std::uint32_t>(error) & SECCOMP_RET_DATA);
    // Without an argument to look at the second comparison is with the number once more.
    std::array filter{
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, which),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, call.third_argument ? third : which),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call.third_argument.value_or(number), 0, 1),
        sock_filter BPF_STMT(BPF_RET | BPF_K, answer),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1) {
        throw std::system_error(errno, std::system_category(), "seccomp");
    }
    if (::syscall(call.number, -1, 0, call.third_argument.value_or(0)) != -1 || errno != error) {
        throw std::runtime_error("the filter does not hold");
    }
}

template <class Server>
void serve(const char* name, SocketType type = SocketType::stream) {
    Server server{any_port};
    ServingThread serving{server};
    for (int i = 0; i < 3; ++i) {
        if (ask(server.server_address(), "hello\n", type) != "hello\n") {
            throw std::runtime_error(std::string{name} + ": no reply");
        }
    }
    // Children are told to end, and seen to have ended.
    const DrainReport report = server.drain(patience);
    if (report.cancelled + report.remaining != 0)
        throw std::runtime_error(std::string{name} + ": no drain");
    serving.stop();
    if (serving.error()) std::rethrow_exception(serving.error());
    server.server_close();
}

void serve_all() {
    serve<TCPServer<StreamEcho>>("synchronous");
    serve<UDPServer<DatagramEcho>>("datagrams", SocketType::datagram);
    serve<TCPServer<StreamEcho, ThreadingMixIn>>("threading");
    serve<TCPServer<StreamEcho, ThreadPoolMixIn>>("pool");
    serve<TCPServer<StreamEcho, ForkingMixIn>>("forking");
    serve<TCPServer<StreamEcho, PreforkMixIn>>("prefork");
#ifdef SOCKETSERVER_TEST_FIBER
    serve<TCPServer<StreamEcho, FiberMixIn>>("fibers");
#endif
}

}  // namespace

TEST_CASE("servers work where the kernel refuses a newer call") {
    for (const Call& call : calls) {
        for (const int error : {ENOSYS, EPERM, EINVAL}) {
            // A kernel that does not know an advice says EINVAL; one that does not know a call
            // never does.
            if (error == EINVAL && !call.third_argument) continue;
            CAPTURE(call.name, error);
            const ChildEnd end = in_child([&] {
                refuse(call, error);
                serve_all();
            });
            CHECK(end.exited_with(0));
            CHECK(end.text == "");
        }
    }
}
