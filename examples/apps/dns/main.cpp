// SPDX-License-Identifier: MIT
// A DNS server for zones from files. See README.md here, and --help.
#include "../common/serve.hpp"
#include "handler.hpp"

int main(int argc, char** argv) {
    apps::ServeOptions options{.port = 5300, .idle_timeout = 10, .request_timeout = 10};
    std::vector<std::string> files;
    std::vector<std::string> transfer_to{"127.0.0.0/8", "::1/128"};
    CLI::App app{"Answers for zones, over UDP and TCP.", "dns"};
    apps::add_serve_options<apps::State::in_memory>(app, options);
    app.add_option("--zone", files, "origin=file, for example example.org=example.zone")
        ->required();
    app.add_option("--transfer-to", transfer_to, "networks that may ask for a whole zone (AXFR)")
        ->capture_default_str();
    return apps::main_of(app, argc, argv, [&] {
        dns::Site site{.zones = {}, .transfer_to = transfer_to};
        for (const std::string& each : files) {
            const std::size_t equals = each.find('=');
            if (equals == std::string::npos) {
                throw std::invalid_argument(each + ": origin=file is expected");
            }
            site.zones.add(dns::Zone{each.substr(equals + 1), each.substr(0, equals)});
        }
        using Stream = dns::Handler<socketserver::StreamRequestHandler>;
        using Datagram = dns::Handler<socketserver::DatagramRequestHandler>;
        apps::serve_both<Stream, Datagram>(
            options, [&] { return Stream{site}; }, [&] { return Datagram{site}; });
    });
}
