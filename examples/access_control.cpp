// SPDX-License-Identifier: MIT
// Serves only clients from some networks: access_control [port] [network...]
// Try: access_control 9999 127.0.0.0/8 10.0.0.0/8 ::1
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <algorithm>
#include <vector>

namespace ss = socketserver;

class HelloHandler : public ss::StreamRequestHandler {
    void handle() override { wfile().print("hello, {}\n", client_address().host()); }
};

// [access_control]
class PrivateServer : public ss::ThreadingTCPServer<HelloHandler> {
  public:
    PrivateServer(const ss::Address& address, std::vector<std::string> networks)
        : TCPServer{address}, networks_{std::move(networks)} {}
    ~PrivateServer() override { server_close(); }  // no request is served beyond this point

  protected:
    bool verify_request(const ss::Socket&, const ss::Address& client_address) override {
        return std::any_of(networks_.begin(), networks_.end(), [&](const std::string& network) {
            return client_address.in_network(network);
        });
    }

  private:
    std::vector<std::string> networks_;
};
// [access_control]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    std::vector<std::string> networks{"127.0.0.0/8"};
    if (argc > 2) networks.assign(argv + 2, argv + argc);
    PrivateServer server{{"", port}, std::move(networks)};  // "": on every interface
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
