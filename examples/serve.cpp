// SPDX-License-Identifier: MIT
// What `./dev serve [policy] [port] [file]` runs: an echo server to talk to with nc. The file says
// its limits, one in a line ("max_connections 100", "idle_timeout 30"), and is read again on
// SIGHUP.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>

namespace ss = socketserver;

namespace {

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        fmt::print(stderr, "{} came: process {}, thread {}\n", client_address(), ::getpid(),
                   ::gettid());
        for (std::string_view line : rfile()) wfile().write(line);
    }
    void finish() override {
        fmt::print(stderr, "{} left\n", client_address());
        StreamRequestHandler::finish();
    }
};

// [live]
volatile std::sig_atomic_t limits_have_changed = 0;
extern "C" void note_hangup(int) { limits_have_changed = 1; }

ss::LiveOptions read_limits(const std::string& path) {
    std::ifstream file{path};
    if (!file) throw std::runtime_error(path + " cannot be read");
    ss::LiveOptions limits;
    std::string name;
    for (unsigned value = 0; file >> name >> value;) {
        if (name == "max_connections") {
            limits.max_connections = value;
        } else if (name == "max_connections_per_address") {
            limits.max_connections_per_address = value;
        } else if (name == "max_accept_rate") {
            limits.max_accept_rate = value;
        } else if (name == "idle_timeout") {
            limits.idle_timeout = std::chrono::seconds{value};
        } else if (name == "request_timeout") {
            limits.request_timeout = std::chrono::seconds{value};
        } else {
            throw std::runtime_error(path + ": there is no " + name);
        }
    }
    if (!file.eof()) throw std::runtime_error(path + ": not a name and a number");
    return limits;
}

template <template <class> class MixIn>
class EchoServer : public ss::TCPServer<EchoHandler, MixIn> {
    using Base = ss::TCPServer<EchoHandler, MixIn>;

  public:
    EchoServer(std::uint16_t port, std::string limits_file)
        : Base{{"localhost", port}, {.allow_reuse_address = true}},
          limits_file_{std::move(limits_file)} {
        if (limits_file_.empty()) return;
        this->set_live_options(read_limits(limits_file_));
        std::signal(SIGHUP, note_hangup);
    }
    ~EchoServer() override { this->server_close(); }

  protected:
    void service_actions() override {
        Base::service_actions();
        if (limits_have_changed == 0) return;
        limits_have_changed = 0;
        try {
            this->set_live_options(read_limits(limits_file_));
            fmt::print(stderr, "new limits from {}\n", limits_file_);
        } catch (const std::exception& error) {
            fmt::print(stderr, "{}; nothing is changed\n", error.what());
        }
    }

  private:
    const std::string limits_file_;
};
// [live]

template <template <class> class MixIn>
void serve(std::uint16_t port, const std::string& limits_file, std::string_view how) {
    EchoServer<MixIn> server{port, limits_file};
    const ss::ShutdownOnSignal signals{server};
    // Ctrl-C does not wait for clients that are still connected.
    server.daemon_threads = true;
    server.block_on_close = false;

    const ss::Address& address = server.server_address();
    fmt::print(stderr,
               "serving on {}\n"
               "{}. Talk to it from another terminal:  nc {} {}\n"
               "Ctrl-C ends it.\n",
               address, how, address.host(), address.port());
    server.serve_forever();
    fmt::print(stderr, "\nended in order\n");
}

void serve_by(std::string_view policy, std::uint16_t port, const std::string& file) {
    if (policy == "synchronous") {
        return serve<ss::SynchronousMixIn>(port, file, "One client at a time; the others wait");
    }
    if (policy == "threading")
        return serve<ss::ThreadingMixIn>(port, file, "A thread for each client");
    if (policy == "forking")
        return serve<ss::ForkingMixIn>(port, file, "A process for each client");
    if (policy == "pool") return serve<ss::ThreadPoolMixIn>(port, file, "So many threads for all");
    if (policy == "prefork") {
        return serve<ss::PreforkMixIn>(port, file,
                                       "So many processes, each with one client at a time");
    }
#ifdef HAVE_FIBERS
    if (policy == "fiber") return serve<ss::FiberMixIn>(port, file, "A fiber for each client");
#endif
    throw std::invalid_argument(
        fmt::format("no policy is called {}; there are: synchronous, threading, forking, pool, "
                    "prefork, fiber (if built)",
                    policy));
}

}  // namespace

int main(int argc, char** argv) {
    try {
        serve_by(argc > 1 ? argv[1] : "threading", ss::parse_port(argc > 2 ? argv[2] : "9999"),
                 argc > 3 ? argv[3] : "");
    } catch (const std::exception& error) {
        fmt::print(stderr, "serve: {}\nusage: serve [policy] [port] [file]\n", error.what());
        return 2;
    }
}
