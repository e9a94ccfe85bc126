// SPDX-License-Identifier: MIT
// The memory that fibers run on: guards, overflow, size, and giving it back.
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "support/fiber_serving.hpp"
#include "support/in_child.hpp"
#include "support/sanitizers.hpp"
#include "support/scripted_sys.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

constexpr bool sanitized = under_asan || under_tsan;

constexpr int install_guard = 102;  // MADV_GUARD_INSTALL

/// An emulator may say so, and not do it.
bool kernel_installs_guards() {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    void* memory =
        ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const bool done = ::madvise(memory, page, install_guard) == 0 &&
                      ::syscall(SYS_getrandom, memory, 1, GRND_NONBLOCK) == -1;
    ::munmap(memory, page);
    return done;
}

std::size_t mappings() {
    std::ifstream maps{"/proc/self/maps"};
    std::size_t count = 0;
    for (std::string line; std::getline(maps, line);) ++count;
    return count;
}

std::size_t resident_bytes() {
    std::ifstream file{"/proc/self/statm"};
    std::size_t all = 0;
    std::size_t resident = 0;
    file >> all >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// What is done about guards that madvise() shall install: a kernel before 6.13 refuses, an
/// emulator (qemu-user) says that they are there.
enum class Guards { installed, refused, only_said_to_be_installed };

class KernelWith {
  public:
    explicit KernelWith(Guards guards)
        : madvise_{[guards](void* where, std::size_t size, int advice) {
              if (advice != install_guard || guards == Guards::installed) {
                  return sys::kernel.madvise(where, size, advice);
              }
              return guards == Guards::refused ? fail(EINVAL) : 0;
          }} {}

  private:
    const Scripted<&Calls::madvise> madvise_;
};

/// Fibers that do something and then wait until they are let go. Used in a fiber.
class Crowd {
  public:
    template <class Function>
    Crowd(std::size_t count, Function before_waiting) {
        for (std::size_t i = 0; i < count; ++i) {
            fibers_.push_back(spawn([this, before_waiting] {
                before_waiting();
                std::unique_lock lock{mutex_};
                go_.wait(lock, [this] { return gone_; });
                ++woken_;
            }));
        }
        yield();
    }
    void let_go() {
        gone_ = true;
        go_.notify_all();
        for (Fiber& fiber : fibers_) fiber.join();
        fibers_.clear();
    }
    std::size_t woken() const { return woken_; }

  private:
    Mutex mutex_;
    ConditionVariable go_;
    bool gone_ = false;
    std::size_t woken_ = 0;
    std::vector<Fiber> fibers_;
};

/// Touches so much of the stack. A compiler that saw what becomes of the frames would shrink them.
[[gnu::noinline]] std::size_t use_stack(std::size_t bytes) {
    std::array<char, 1024> frame{};
    asm volatile("" : : "r"(frame.data()) : "memory");
    if (bytes <= frame.size()) return frame.size();
    const std::size_t below = use_stack(bytes - frame.size());
    asm volatile("" : : "r"(frame.data()) : "memory");
    return below + frame.size();
}

}  // namespace

TEST_CASE("more fibers than the kernel gives mappings for guards by mprotect") {
    if (!kernel_installs_guards()) return;  // then the next test says what happens
    const TimeLimit limit;
    // TSan knows 8,000 fibers, and 32 bits have no addresses for the stacks of 40,000.
    constexpr std::size_t count = sanitized ? 500 : (sizeof(void*) == 4 ? 6'000 : 40'000);
    std::size_t added = 0;
    std::size_t woken = 0;
    in_fiber([&] {
        const std::size_t before = mappings();
        Crowd crowd{count, [] {}};
        added = mappings() - before;
        crowd.let_go();
        woken = crowd.woken();
    });
    CHECK(woken == count);
    if (!sanitized) CHECK(added < 2000);  // a sanitizer maps memory of its own for each
}

TEST_CASE("a fiber that no guard can be had for costs one connection, not the server") {
    const TimeLimit limit;
    const KernelWith kernel{Guards::refused};
    std::atomic<int> guards_left{3};  // the scheduler's own stack, and two fibers
    const Scripted<&Calls::mprotect> mprotect{[&](auto... arguments) {
        return --guards_left >= 0 ? sys::kernel.mprotect(arguments...) : fail(ENOMEM);
    }};
    CallingServer server{
        [](Calling& handler) { handler.wfile().write(handler.rfile().readline()); }};
    ServingThread serving{server};
    Socket one = connect(server.server_address());
    Socket two = connect(server.server_address());
    Socket refused = connect(server.server_address());
    CHECK(read_to_end(refused).empty());
    CHECK(ask(one, "one\n") == "one\n");
    CHECK(ask(two, "two\n") == "two\n");
    // Their stacks are free again.
    CHECK(read_to_end(one).empty());
    CHECK(ask(server.server_address(), "three\n") == "three\n");
    serving.stop();
    const auto errors = server.errors();
    REQUIRE(errors.size() == 1);
    CHECK_THAT(errors[0], Catch::Matchers::ContainsSubstring("vm.max_map_count"));
}

TEST_CASE("a stack overflow is reported with the client's name, and ends the program") {
    const TimeLimit limit;
    const KernelWith kernel{
        GENERATE(Guards::installed, Guards::refused, Guards::only_said_to_be_installed)};
    CallingServer server{[](Calling& handler) {
        handler.rfile().readline();
        handler.wfile().print("{}", use_stack(std::size_t{1} << 30));
    }};
    std::string client_name;
    const ChildEnd end = in_child(
        [&] {
            server.handle_request();
            server.server_close();
        },
        [&] {
            Socket client = connect(server.server_address());
            client.sendall("overflow\n");
            client_name = "127.0.0.1 port " + std::to_string(client.getsockname().port());
            read_to_end(client);
        });
    CHECK_THAT(end.text, Catch::Matchers::ContainsSubstring("stack overflow in the fiber"));
    CHECK_THAT(end.text, Catch::Matchers::ContainsSubstring(client_name));
    if (!sanitized) CHECK(end.killed_by(SIGSEGV));
}

TEST_CASE("the size of the stack can be set") {
    const TimeLimit limit;
    std::size_t used = 0;
    in_fiber([&] { used = use_stack(std::size_t{3} << 20); }, std::size_t{8} << 20);
    CHECK(used > 0);
}

TEST_CASE("the stacks of a burst go back to the system") {
    const TimeLimit limit;
    constexpr std::size_t count = sanitized ? 200 : 2000;  // TSan needs 10 ms for each
    constexpr std::size_t each = std::size_t{64} * 1024;
    std::size_t during = 0;
    std::size_t after = 0;
    const std::size_t before = resident_bytes();
    in_fiber([&] {
        Crowd crowd{count, [] { use_stack(each); }};
        during = resident_bytes();
        crowd.let_go();
        yield();
        after = resident_bytes();
    });
    CHECK(during - before > count * each * 9 / 10);
    // What a sanitizer notes of the stacks stays.
    if (!sanitized) CHECK(after < before + (during - before) / 4);
}

TEST_CASE("deep calls of fibers that wait afterwards leave no memory in their stacks") {
    if (sanitized) return;  // what they note of the stacks is more than that
    const TimeLimit limit;
    constexpr std::size_t count = 500;
    constexpr std::size_t depth = std::size_t{40} * 1024;
    const auto use_deep = GENERATE(
        as<std::function<void()>>{},
        [] {
            use_stack(depth);
            detail::release_stack();
        },
        [] { detail::call_on_shared_stack([] { use_stack(depth); }); });
    std::size_t during = 0;
    std::size_t woken = 0;
    const std::size_t before = resident_bytes();
    in_fiber([&] {
        Crowd crowd{count, use_deep};
        during = resident_bytes();
        crowd.let_go();
        woken = crowd.woken();
    });
    CHECK(woken == count);
    CHECK(during - before < count * depth / 2);
}

TEST_CASE("a call on the stack that fibers share returns to the fiber that made it") {
    const TimeLimit limit;
    // On a thread it is an ordinary call.
    int calls = 0;
    detail::call_on_shared_stack([&] { ++calls; });
    CHECK(calls == 1);
    std::vector<int> order;
    in_fiber([&] {
        std::vector<Fiber> fibers;
        for (int i = 0; i < 3; ++i) {
            fibers.push_back(spawn([&order, i] {
                detail::call_on_shared_stack([&] { order.push_back(i); });
                yield();
                try {
                    throw i;  // what a thread knows of its exceptions is not mixed up
                } catch (int caught) {
                    detail::call_on_shared_stack([&] { order.push_back(10 + caught); });
                }
            }));
        }
        for (Fiber& fiber : fibers) fiber.join();
    });
    CHECK(order == std::vector{0, 1, 2, 10, 11, 12});
}

TEST_CASE("an idle handler holds none of the memory that it may receive into") {
    if (sanitized) return;  // their own memory is more than that
    const TimeLimit limit;
    constexpr int count = 300;
    constexpr std::size_t largest = 65536;
    std::atomic<int> waiting{0};
    CallingServer server{[&](Calling& handler) {
        handler.wfile().write(handler.request().recv(largest));
        ++waiting;
        handler.request().recv(largest);
    }};
    ServingThread serving{server};
    std::vector<Socket> clients;
    const std::size_t before = resident_bytes();
    for (int i = 0; i < count; ++i) {
        clients.push_back(connect(server.server_address()));
        CHECK(ask(clients.back(), "x\n") == "x\n");
    }
    REQUIRE(eventually([&] { return waiting == count; }));
    const std::size_t after = resident_bytes();
    INFO(before << " bytes before, " << after << " after");
    CHECK(after < before + count * largest / 4);
}
