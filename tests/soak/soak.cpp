// SPDX-License-Identifier: MIT
// usage: soak <seconds>
//
// Servers of every policy and transport at once, clients of every kind in a process of their own,
// and now and then a server that is drained and started again. Every byte that a client gets is
// compared. What the process holds, its memory, descriptors, threads, mappings and children, is
// looked at all the while: it must not grow. The status is 0 if everything was right, else 1, with
// the reason on stderr.
#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "socketserver/socketserver.hpp"
#include "support/connected_sockets.hpp"
#include "support/counts.hpp"
#include "support/quiet.hpp"
#include "support/serving.hpp"
#ifdef SOCKETSERVER_TEST_FIBER
#    include "socketserver/fiber.hpp"
#endif
#ifdef SOCKETSERVER_TEST_TLS
#    include "socketserver/tls_server.hpp"
#    include "support/tls_contexts.hpp"
#endif

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t large = 300'000;

/// Answers each line with itself, or as its first letter says.
class Echo : public StreamRequestHandler {
    void handle() override {
        for (const std::string_view line : rfile()) {
            if (line.front() == 't') throw std::runtime_error("told to");
            if (line.front() == 'l') return;
            if (line.front() == 'm') wfile().write(std::string(large, 'x'));
            wfile().write(line);
        }
    }
};

class EchoDatagram : public DatagramRequestHandler {
    void handle() override { wfile().write(rfile().read()); }
};

/// One server that is there all the time, except while it is started again.
class Life {
  public:
    Life() = default;
    Life(const Life&) = delete;
    Life& operator=(const Life&) = delete;
    virtual ~Life() = default;
    virtual const Address& address() const = 0;
    virtual void start_again() = 0;
};

template <class Server>
class LifeOf final : public Life {
  public:
    using Make = std::function<std::unique_ptr<Server>(const Address&)>;

    LifeOf(const Address& address, Make make) : make_{std::move(make)} {
        begin(address);
        address_ = server_->server_address();
    }
    LifeOf(const LifeOf&) = delete;
    LifeOf& operator=(const LifeOf&) = delete;
    ~LifeOf() override { end(); }

    const Address& address() const override { return address_; }
    void start_again() override {
        server_->drain(500ms);
        end();
        begin(address_);
    }

  private:
    void begin(const Address& address) {
        server_ = make_(address);
        thread_.emplace(*server_);
    }
    void end() {
        thread_.reset();
        server_.reset();
    }

    Make make_;
    Address address_;
    std::unique_ptr<Server> server_;
    std::optional<ServingThread> thread_;
};

enum class Kind { stream, tls, datagram };

struct Target {
    Kind kind;
    Address address;
};

/// What the clients have done, in memory that their process shares with this one.
struct Tally {
    std::atomic<std::uint64_t> answered;
    std::atomic<std::uint64_t> cut;    // by a server that was started again, or a limit
    std::atomic<std::uint64_t> wrong;  // must stay 0
};

class Random {
  public:
    explicit Random(unsigned seed) : engine_{seed} {}
    std::size_t below(std::size_t end) { return engine_() % end; }
    bool once_in(std::size_t times) { return below(times) == 0; }

  private:
    std::mt19937 engine_;
};

/// Clients that come one after the other.
class Client {
  public:
    Client(const std::vector<Target>& targets, Tally& tally, unsigned seed)
        : targets_{targets}, tally_{tally}, random_{seed} {}

    void visit() {
        const Target& target = targets_[random_.below(targets_.size())];
        try {
            if (target.kind == Kind::datagram) {
                ask_by_datagrams(target.address);
            } else {
                Socket socket = connect_to(target);
                talk(socket);
            }
        } catch (const std::exception&) {
            ++tally_.cut;
        }
    }

  private:
    Socket connect_to(const Target& target) {
#ifdef SOCKETSERVER_TEST_TLS
        if (target.kind == Kind::tls) {
            return create_connection(target.address, any_server_, std::chrono::seconds{3});
        }
#endif
        return create_connection(target.address, SocketType::stream, std::chrono::seconds{3});
    }

    void talk(Socket& socket) {
        std::string asked;
        std::string expected;
        for (std::size_t left = 1 + random_.below(8); left > 0; --left) {
            std::string line;
            if (random_.once_in(20)) {
                line = "m\n";
                expected.append(large, 'x');
            } else {
                line = fmt::format("e{}{}\n", ++number_, std::string(random_.below(2000), 'y'));
            }
            asked += line;
            expected += line;
        }
        const bool leaves_early = random_.once_in(20);
        const bool is_slow = random_.once_in(30);
        const bool has_ends = random_.once_in(10);
        if (has_ends) asked += random_.once_in(2) ? "throw\n" : "leave\n";
        std::size_t sent = 0;
        while (sent < asked.size()) {
            const std::size_t part = is_slow ? 1 + random_.below(200) : asked.size();
            socket.sendall(std::string_view{asked}.substr(sent, part));
            sent += part;
            if (is_slow) std::this_thread::sleep_for(std::chrono::milliseconds{random_.below(3)});
        }
        if (leaves_early) {
            if (random_.once_in(2)) reset(socket);
            return;
        }
        if (!has_ends && random_.once_in(2)) socket.shutdown(ShutdownHow::write);
        std::size_t received = 0;
        while (received < expected.size()) {
            const std::string bytes = socket.recv(65536);
            if (bytes.empty()) break;
            if (expected.compare(received, bytes.size(), bytes) != 0) {
                ++tally_.wrong;
                return;
            }
            received += bytes.size();
        }
        ++(received == expected.size() ? tally_.answered : tally_.cut);
    }

    void ask_by_datagrams(const Address& address) {
        Socket socket{address, SocketType::datagram};
        socket.connect(address);
        socket.settimeout(std::chrono::milliseconds{500});
        for (std::size_t left = 1 + random_.below(8); left > 0; --left) {
            const std::string asked =
                fmt::format("{}{}", ++number_, std::string(random_.below(1000), 'z'));
            socket.sendall(asked);
            const std::string answer = socket.recv(65536);
            ++(answer == asked ? tally_.answered : tally_.wrong);
        }
    }

    const std::vector<Target>& targets_;
    Tally& tally_;
    Random random_;
    std::uint64_t number_ = 0;
#ifdef SOCKETSERVER_TEST_TLS
    SSLContext any_server_ = [] {
        SSLContext context{TLSPurpose::client};
        context.verify_mode(VerifyMode::none);
        return context;
    }();
#endif
};

/// In a process of its own: is told the targets, one in each line, then an empty line; ends when
/// `told` ends.
void be_the_clients(Socket& told, Tally& tally) {
    BufferedReader lines{told};
    std::vector<Target> targets;
    for (std::string_view line = lines.readline(); line != "\n"; line = lines.readline()) {
        if (line.empty()) return;  // the servers have never begun
        const std::string_view address = line.substr(1, line.size() - 2);
        targets.push_back({static_cast<Kind>(line.front() - '0'), Address::parse(address)});
    }
    std::atomic<bool> ended{false};
    std::vector<std::jthread> threads;
    for (unsigned seed = 1; seed <= 8; ++seed) {
        threads.emplace_back([&, seed] {
            Client client{targets, tally, seed};
            while (!ended) client.visit();
        });
    }
    told.recv(1);
    ended = true;
}

struct Sample {
    std::size_t memory = 0;  // KiB that are resident
    std::size_t descriptors = open_descriptors();
    std::size_t threads = entries_of("/proc/self/task");
    std::size_t mappings = 0;
    std::size_t children = child_count();

    Sample() {
        std::ifstream status{"/proc/self/status"};
        for (std::string line; std::getline(status, line);) {
            if (line.starts_with("VmRSS:")) memory = std::stoul(line.substr(6));
        }
        std::ifstream maps{"/proc/self/maps"};
        mappings =
            static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>{maps}, {}, '\n'));
    }
};

/// Whether the last third of the samples is higher than the one before by more than a tenth and
/// `more`.
bool grows(const std::vector<Sample>& samples, std::size_t Sample::*what, std::size_t more,
           const char* name) {
    const auto median = [&](std::size_t begin, std::size_t end) {
        std::vector<std::size_t> values;
        for (std::size_t i = begin; i < end; ++i) values.push_back(samples[i].*what);
        std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                         values.end());
        return values[values.size() / 2];
    };
    const std::size_t third = samples.size() / 3;
    const std::size_t before = median(third, 2 * third);
    const std::size_t after = median(2 * third, samples.size());
    if (after <= before + before / 10 + more) return false;
    fmt::print(stderr, "soak: {} grew from {} to {}\n", name, before, after);
    return true;
}

ServerOptions options_of_all() {
    ServerOptions options;
    options.allow_reuse_address = true;
    options.max_connections = 64;
    options.idle_timeout = std::chrono::seconds{1};
    options.request_timeout = std::chrono::seconds{2};
    return options;
}

using Lives = std::vector<std::pair<Kind, std::unique_ptr<Life>>>;

template <class Base>
void live(Lives& lives, Kind kind, const Address& address) {
    using Server = Quiet<Base>;
    lives.emplace_back(kind, std::make_unique<LifeOf<Server>>(address, [](const Address& where) {
                           return std::make_unique<Server>(where, options_of_all());
                       }));
}

template <template <class> class MixIn>
void live_under(Lives& lives, const TemporaryFolder& folder, const std::string& name) {
    live<TCPServer<Echo, MixIn>>(lives, Kind::stream, any_port);
    live<UnixStreamServer<Echo, MixIn>>(lives, Kind::stream, Address{folder / name});
    live<UDPServer<EchoDatagram, MixIn>>(lives, Kind::datagram, any_port);
#ifdef SOCKETSERVER_TEST_TLS
    using Server = Quiet<TLSServer<TCPServer<Echo, MixIn>>>;
    static const Contexts contexts;
    lives.emplace_back(
        Kind::tls, std::make_unique<LifeOf<Server>>(any_port, [](const Address& where) {
            return std::make_unique<Server>(where, contexts.server, options_of_all());
        }));
#endif
}

/// Serves for so long; false if something grew.
bool serve_for(std::chrono::seconds time, Socket& tell, const Tally& tally) {
    const TemporaryFolder folder;
    Lives lives;
    live_under<ThreadingMixIn>(lives, folder, "threading");
    live_under<ThreadPoolMixIn>(lives, folder, "pool");
    live_under<ForkingMixIn>(lives, folder, "forking");
    live_under<PreforkMixIn>(lives, folder, "prefork");
#ifdef SOCKETSERVER_TEST_FIBER
    live_under<FiberMixIn>(lives, folder, "fiber");
#endif
    std::string targets;
    for (const auto& [kind, life] : lives) {
        targets += fmt::format("{}{}\n", static_cast<int>(kind), life->address());
    }
    tell.sendall(targets + "\n");

    const auto begin = SteadyClock::now();
    const auto between =
        std::max<SteadyClock::duration>(std::chrono::milliseconds{200}, time / 120);
    std::vector<Sample> samples;
    std::size_t next = 0;
    fmt::print("{:>8} {:>10} {:>8} {:>10} {:>12} {:>8} {:>9} {:>9}\n", "seconds", "answered", "cut",
               "KiB", "descriptors", "threads", "mappings", "children");
    for (auto at = begin + between; at < begin + time; at += between) {
        std::this_thread::sleep_until(at);
        lives[next++ % lives.size()].second->start_again();
        const Sample& now = samples.emplace_back();
        fmt::print(
            "{:>8} {:>10} {:>8} {:>10} {:>12} {:>8} {:>9} {:>9}\n",
            std::chrono::duration_cast<std::chrono::seconds>(SteadyClock::now() - begin).count(),
            tally.answered.load(), tally.cut.load(), now.memory, now.descriptors, now.threads,
            now.mappings, now.children);
        std::fflush(stdout);
    }
    tell.close();
    const std::array grown{grows(samples, &Sample::memory, 4096, "memory"),
                           grows(samples, &Sample::descriptors, 64, "descriptors"),
                           grows(samples, &Sample::threads, 64, "threads"),
                           grows(samples, &Sample::mappings, 128, "mappings"),
                           grows(samples, &Sample::children, 64, "children")};
    return std::find(grown.begin(), grown.end(), true) == grown.end();
}

bool soak(std::chrono::seconds time) {
    const Shared<Tally> tally;
    const Counts before;
    // Forked before there are threads; what it does to the servers it does from outside.
    auto [told, tell] = unix_pair();
    const pid_t clients = ::fork();
    if (clients == -1) throw std::system_error(errno, std::generic_category(), "fork");
    if (clients == 0) {
        tell.close();
        be_the_clients(told, *tally);
        ::_exit(0);
    }
    told.close();
    bool is_right = serve_for(time, tell, *tally);
    int status = 0;
    if (::waitpid(clients, &status, 0) == -1 || status != 0) {
        fmt::print(stderr, "soak: the clients ended with {}\n", status);
        is_right = false;
    }
    if (tally->wrong != 0) {
        fmt::print(stderr, "soak: {} answers were wrong\n", tally->wrong.load());
        is_right = false;
    }
    if (tally->answered < 100) {
        fmt::print(stderr, "soak: only {} answers came\n", tally->answered.load());
        is_right = false;
    }
    if (!before.are_back()) {
        const Counts after;
        fmt::print(stderr,
                   "soak: left behind: descriptors {} to {}, threads {} to {}, children {} to {}\n",
                   before.descriptors, after.descriptors, before.threads, after.threads,
                   before.children, after.children);
        is_right = false;
    }
    return is_right;
}

}  // namespace

int main(int argc, char** argv) {
    unsigned seconds = 0;
    const std::string_view text = argc == 2 ? argv[1] : "";
    if (std::from_chars(text.data(), text.data() + text.size(), seconds).ec != std::errc{} ||
        seconds == 0) {
        fmt::print(stderr, "usage: soak <seconds>\n");
        return 2;
    }
    try {
        return soak(std::chrono::seconds{seconds}) ? 0 : 1;
    } catch (const std::exception& error) {
        fmt::print(stderr, "soak: {}\n", error.what());
        return 1;
    }
}
