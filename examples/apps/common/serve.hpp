// SPDX-License-Identifier: MIT
// What every program in this folder has on its command line: address, policy, TLS, limits, times.
#pragma once

#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#ifdef HAVE_TLS
#    include <socketserver/tls_server.hpp>
#endif

#include <CLI/CLI.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "admin.hpp"

namespace apps {

/// How a program serves.
struct ServeOptions {
    std::string host = "localhost";
    std::uint16_t port = 0;
    std::string policy = "threading";
    unsigned workers = 0;  ///< 0: as many as the policy has by itself
    std::string certfile{}, keyfile{};
    ss::ServerOptions server{.allow_reuse_address = true};
    double idle_timeout = 60, request_timeout = 30, drain = 10;  ///< seconds; 0: none
    std::optional<std::uint16_t> admin_port{};
    bool connection_log = false;
};

/// Which policies a program takes. A program that keeps its state in memory cannot be served by
/// processes: each of them would have a state of its own.
enum class State : unsigned char { none, in_memory };

template <State state>
std::vector<std::string> policies() {
    std::vector<std::string> names{"synchronous", "threading", "pool"};
    if constexpr (state == State::none) names.insert(names.end(), {"forking", "prefork"});
#ifdef HAVE_FIBERS
    names.emplace_back("fiber");
#endif
    return names;
}

/// Adds the options to a command line, but for those of TLS, with the present values as defaults.
template <State state>
void add_plain_serve_options(CLI::App& app, ServeOptions& options) {
    app.add_option("port", options.port, "port; 0: any that is free")->capture_default_str();
    app.add_option("--host", options.host, "name or address; \"\" and \"::\" are every interface")
        ->capture_default_str();
    app.add_option("--policy", options.policy, "who serves a connection")
        ->check(CLI::IsMember(policies<state>()))
        ->capture_default_str();
    app.add_option("--workers", options.workers, "threads of pool and fiber, processes of prefork");
    app.add_option("--max-connections", options.server.max_connections, "at once");
    app.add_option("--max-per-address", options.server.max_connections_per_address,
                   "at once of one client");
    app.add_option("--max-rate", options.server.max_accept_rate, "new ones in a second");
    app.add_option("--idle-timeout", options.idle_timeout,
                   "seconds in which a client has to begin a request; 0: none")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--request-timeout", options.request_timeout,
                   "seconds in which it has to end it; 0: none")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--drain", options.drain, "seconds that requests have to end after SIGTERM")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--admin", options.admin_port,
                   "local port for /metrics, /healthz, /readyz and /connections; 0: any");
    app.add_flag("--connection-log", options.connection_log,
                 "say on stderr when a connection ends, and why");
}

/// Adds all options.
template <State state>
void add_serve_options(CLI::App& app, ServeOptions& options) {
    add_plain_serve_options<state>(app, options);
#ifdef HAVE_TLS
    app.add_option("--certfile", options.certfile, "serve over TLS with this certificate (PEM)")
        ->check(CLI::ExistingFile);
    app.add_option("--keyfile", options.keyfile, "its key, if that is not in the same file")
        ->check(CLI::ExistingFile);
#endif
}

/// Seconds as an option of the server has them.
inline std::optional<std::chrono::nanoseconds> time_of(double seconds) {
    if (seconds == 0) return {};
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>{seconds});
}

inline ss::ServerOptions server_options(const ServeOptions& options) {
    ss::ServerOptions server = options.server;
    server.idle_timeout = time_of(options.idle_timeout);
    server.request_timeout = time_of(options.request_timeout);
    return server;
}

/// Sets the number of workers, whatever the policy calls them.
template <class Server>
void set_workers(Server& server, unsigned workers) {
    if (workers == 0) return;
    if constexpr (requires { server.workers = workers; }) server.workers = workers;
    if constexpr (requires { server.max_threads = workers; }) server.max_threads = workers;
}

/// Serves until SIGINT or SIGTERM, and then as long as the requests need, within a time.
template <class Server>
void run(Server& server, const ServeOptions& options) {
    set_workers(server, options.workers);
    const ss::ShutdownOnSignal signals{
        server, ss::DrainFor{time_of(options.drain).value_or(std::chrono::nanoseconds{0})}};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    std::optional<Admin> admin;
    if (options.admin_port) admin.emplace(server, *options.admin_port);
    server.serve_forever();
}

/// Calls `serve`, a template of functions, for the policy of this name.
template <State state, class Serve>
void by_policy(const std::string& policy, Serve serve) {
    if (policy == "synchronous") return serve.template operator()<ss::SynchronousMixIn>();
    if (policy == "threading") return serve.template operator()<ss::ThreadingMixIn>();
    if (policy == "pool") return serve.template operator()<ss::ThreadPoolMixIn>();
    if constexpr (state == State::none) {
        if (policy == "forking") return serve.template operator()<ss::ForkingMixIn>();
        if (policy == "prefork") return serve.template operator()<ss::PreforkMixIn>();
    }
#ifdef HAVE_FIBERS
    if (policy == "fiber") return serve.template operator()<ss::FiberMixIn>();
#endif
    throw std::invalid_argument(fmt::format("no policy is called {}", policy));
}

/// Makes a TCP server, with TLS if there is a certificate, and calls `use` with it.
template <class Handler, template <class> class MixIn, class Use>
void with_tcp_server(const ServeOptions& options, const std::function<Handler()>& make_handler,
                     Use use) {
    const ss::Address address{options.host, options.port};
    using Server = ss::TCPServer<Handler, MixIn>;
#ifdef HAVE_TLS
    if (!options.certfile.empty()) {
        ConnectionLog<ss::TLSServer<Server>> server{
            address,
            {.certfile = options.certfile, .keyfile = options.keyfile},
            server_options(options),
            make_handler};
        server.logs_connections = options.connection_log;
        return use(server);
    }
#endif
    ConnectionLog<Server> server{address, server_options(options), make_handler};
    server.logs_connections = options.connection_log;
    use(server);
}

/// Serves TCP by the handlers that `make_handler` returns, as the options say.
///
/// @throws what the server's constructor throws.
template <class Handler, State state>
void serve(const ServeOptions& options, const std::function<Handler()>& make_handler) {
    by_policy<state>(options.policy, [&]<template <class> class MixIn>() {
        with_tcp_server<Handler, MixIn>(options, make_handler,
                                        [&](auto& server) { run(server, options); });
    });
}

/// Serves sessions on UDP by the handlers that `make_handler` returns.
///
/// @throws what the server's constructor throws.
template <class Handler>
void serve_sessions(const ServeOptions& options, const std::function<Handler()>& make_handler) {
    by_policy<State::none>(options.policy, [&]<template <class> class MixIn>() {
        ss::UDPSessionServer<Handler, MixIn> server{
            {options.host, options.port}, server_options(options), make_handler};
        run(server, options);
    });
}

/// Serves TCP, and UDP on the same port, by the same policy. The datagrams have a serving thread of
/// their own, so no policy forks.
template <class StreamHandler, class DatagramHandler>
void serve_both(const ServeOptions& options, const std::function<StreamHandler()>& make_stream,
                const std::function<DatagramHandler()>& make_datagram) {
    by_policy<State::in_memory>(options.policy, [&]<template <class> class MixIn>() {
        with_tcp_server<StreamHandler, MixIn>(options, make_stream, [&](auto& tcp) {
            const std::uint16_t port = tcp.server_address().port();
            ss::UDPServer<DatagramHandler, MixIn> udp{{options.host, port}, {}, make_datagram};
            set_workers(udp, options.workers);
            const ss::ShutdownOnSignal signals{udp};
            fmt::print(stderr, "serving on {}\n", udp.server_address());
            const std::jthread datagrams{[&] { udp.serve_forever(); }};
            run(tcp, options);
        });
    });
}

/// Reads the command line and serves; what is wrong goes to stderr. Returns the exit status.
template <std::invocable Serve>
int main_of(CLI::App& app, int argc, char** argv, Serve serve) {
    try {
        app.parse(argc, argv);
        serve();
        return 0;
    } catch (const CLI::ParseError& error) {
        return app.exit(error);
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}: {}\n", app.get_name(), error.what());
        return 1;
    }
}

}  // namespace apps
