// SPDX-License-Identifier: MIT
// Keeps values by key for all clients. Try: nc localhost 9999, then "set colour blue", "get
// colour".
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <cstdlib>
#include <map>
#include <mutex>
#include <sstream>

namespace ss = socketserver;

// [key_value_store]
/// What all handlers share. The lock is held for one command: no handler ever waits for its client
/// while it holds it.
class Store {
  public:
    std::string run(const std::string& command, const std::string& key, const std::string& value) {
        const std::lock_guard lock{mutex_};
        if (command == "set") return values_[key] = value;
        if (command == "add") {
            std::string& sum = values_[key];
            return sum = std::to_string(std::atoi(sum.c_str()) + std::atoi(value.c_str()));
        }
        if (command != "get") return "set <key> <value> | get <key> | add <key> <number>";
        const auto found = values_.find(key);
        return found == values_.end() ? "" : found->second;
    }

  private:
    std::mutex mutex_;
    std::map<std::string, std::string> values_;
};

class StoreHandler : public ss::StreamRequestHandler {
  public:
    explicit StoreHandler(Store& store) : store_{store} {}

  private:
    void handle() override {
        for (std::string_view line : rfile()) {
            std::istringstream words{std::string{line}};
            std::string command, key, value;
            words >> command >> key >> value;
            wfile().print("{}\n", store_.run(command, key, value));
        }
    }

    Store& store_;
};
// [key_value_store]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    Store store;
    ss::ThreadingTCPServer<StoreHandler> server{
        {"localhost", port}, {}, [&] { return StoreHandler{store}; }};
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
