// SPDX-License-Identifier: MIT
// Passes connections on to one of several servers. See README.md here, and --help.
#include <socketserver/relay.hpp>

#include "../common/serve.hpp"
#include "upstreams.hpp"

namespace balancer {

// [handler]
class Handler : public ss::BaseRequestHandler<> {
  public:
    Handler(Upstreams& upstreams, std::optional<std::chrono::nanoseconds> idle_timeout)
        : upstreams_{upstreams}, idle_timeout_{idle_timeout} {}

  private:
    void handle() override {
        auto [connection, upstream] = upstreams_.connect();
        connection.settimeout({});  // the one of connecting
        connection.set_nodelay(true);
        request().set_nodelay(true);
        ++upstream->active;
        const std::unique_ptr<Upstream, void (*)(Upstream*)> counted{
            upstream, [](Upstream* each) { --each->active; }};
        ss::relay(request(), connection, idle_timeout_);
    }

    Upstreams& upstreams_;
    const std::optional<std::chrono::nanoseconds> idle_timeout_;
};
// [handler]

/// "host:port", "[address]:port" or the path of a Unix socket
ss::Address parse_address(const std::string& text) {
    if (text.starts_with('/') || text.starts_with('@')) return text;
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos) throw std::invalid_argument(text + ": host:port is expected");
    std::string host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    return {host, ss::parse_port(text.substr(colon + 1))};
}

}  // namespace balancer

int main(int argc, char** argv) {
    apps::ServeOptions options{.port = 8080, .idle_timeout = 600, .request_timeout = 0};
    std::vector<std::string> to;
    double interval = 2, connect_timeout = 2;
    CLI::App app{"Passes connections on to one of several servers.", "balancer"};
    apps::add_serve_options<apps::State::in_memory>(app, options);
    app.add_option("--to", to, "a server behind it, host:port or a path; several may be given")
        ->required();
    app.add_option("--check-interval", interval, "seconds between two looks whether each is there")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--connect-timeout", connect_timeout, "seconds that connecting may take")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    return apps::main_of(app, argc, argv, [&] {
        std::vector<socketserver::Address> addresses;
        for (const std::string& each : to) addresses.push_back(balancer::parse_address(each));
        balancer::Upstreams upstreams{addresses, *apps::time_of(interval),
                                      *apps::time_of(connect_timeout)};
        // The time is for silence in both directions, which only relay() sees.
        const auto idle_timeout = apps::time_of(std::exchange(options.idle_timeout, 0));
        apps::serve<balancer::Handler, apps::State::in_memory>(options, [&] {
            return balancer::Handler{upstreams, idle_timeout};
        });
    });
}
