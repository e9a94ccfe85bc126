// SPDX-License-Identifier: MIT
// Collects the messages of syslog in files. See README.md here, and --help.
#include <charconv>
#include <type_traits>

#include "../common/serve.hpp"
#include "record.hpp"
#include "sink.hpp"

namespace logs {

namespace ss = socketserver;

constexpr std::size_t longest_message = 65536;

// [handler]
/// One class for TCP, UDP and Unix datagrams.
template <class Base>
class Handler : public Base {
  public:
    explicit Handler(Sink& sink) : sink_{sink} {}

  private:
    void handle() override {
        if constexpr (std::is_base_of_v<ss::StreamRequestHandler, Base>) {
            for (;;) {
                const std::string_view begin = this->rfile().peek();
                if (begin.empty()) return;
                begin.front() >= '1' && begin.front() <= '9' ? counted() : line();
            }
        } else {
            keep(this->rfile().read());
        }
    }
    /// RFC 6587, 3.4.1: the number of bytes, a space, the message.
    void counted() {
        const std::string_view digits = this->rfile().read_until(" ", 8);
        std::size_t size = 0;
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), size);
        if (error != std::errc{} || end != digits.data() + digits.size() - 1 ||
            size > longest_message) {
            throw std::runtime_error("a message without a length that it can have");
        }
        keep(this->rfile().read_exactly(size));
    }
    /// RFC 6587, 3.4.2: up to the end of the line.
    void line() { keep(std::string{this->rfile().readline(longest_message)}); }

    void keep(const std::string& message) {
        Record record = parse(message);
        const std::string host = record.host.empty() && !this->client_address().empty()
                                     ? std::string{this->client_address().host()}
                                     : std::string{};
        if (!host.empty()) record.host = host;
        if (!record.text.empty() || !record.application.empty()) sink_.write(line_of(record));
    }

    Sink& sink_;
};
// [handler]

}  // namespace logs

int main(int argc, char** argv) {
    apps::ServeOptions options{.port = 5514, .idle_timeout = 0, .request_timeout = 60};
    std::string file, path;
    std::uint64_t most = 10'000'000;
    unsigned kept = 5;
    CLI::App app{"Collects the messages of syslog, by UDP, TCP and a Unix socket.", "logs"};
    apps::add_serve_options<apps::State::in_memory>(app, options);
    app.add_option("--file", file, "where they go")->required();
    app.add_option("--rotate-at", most, "bytes from which a new file is begun")
        ->capture_default_str();
    app.add_option("--keep", kept, "how many old files are kept")->capture_default_str();
    app.add_option("--unix", path, "path of a socket for programs of this machine, as /dev/log is");
    return apps::main_of(app, argc, argv, [&] {
        using Stream = logs::Handler<socketserver::StreamRequestHandler>;
        using Datagram = logs::Handler<socketserver::DatagramRequestHandler>;
        logs::Sink sink{file, most, kept};
        const auto make_datagram = [&] { return Datagram{sink}; };
        std::optional<socketserver::UnixDatagramServer<Datagram>> local;
        std::optional<socketserver::ShutdownOnSignal> signals;
        std::jthread serving;
        if (!path.empty()) {
            local.emplace(socketserver::Address{path}, socketserver::ServerOptions{},
                          make_datagram);
            signals.emplace(*local);
            serving = std::jthread{[&] { local->serve_forever(); }};
        }
        // An error of the other servers must end this one, too.
        const std::unique_ptr<void, std::function<void(void*)>> end{&local, [&](void*) {
                                                                        if (local)
                                                                            local->shutdown();
                                                                    }};
        apps::serve_both<Stream, Datagram>(
            options, [&] { return Stream{sink}; }, make_datagram);
    });
}
