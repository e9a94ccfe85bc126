// SPDX-License-Identifier: MIT
// Transfers the files of a folder by TFTP. See README.md here, and --help.
#include "../common/serve.hpp"
#include "transfer.hpp"

namespace tftp {

struct Site {
    apps::Root root;
    Rules rules;
};

// [handler]
/// Serves what a client sends to the server's port: requests, one after the other.
class Handler : public ss::BaseRequestHandler<> {
  public:
    explicit Handler(const Site& site) : site_{site} {}

  private:
    void handle() override {
        std::string text = request().recv(longest_request);
        while (!text.empty()) {
            text = serve(text);
            if (text.empty() && ss::select({request()}, pause)) {
                text = receive_if_there(request()).value_or("");
            }
        }
    }
    /// Returns the next request, if the client has sent one meanwhile.
    std::string serve(const std::string& text) {
        Transfer transfer{request(), client_address(), text, site_.rules};
        try {
            if (const auto asked = parse_request(text)) run(transfer, *asked);
        } catch (const Refusal& refusal) {
            transfer.refuse(refusal);
        } catch (const std::system_error& error) {
            if (error.code() != std::errc::connection_refused) throw;
            // The client has closed its port, and wants nothing more.
        }
        return transfer.next_request();
    }
    void run(Transfer& transfer, const Request& asked) {
        const Rules& rules = site_.rules;
        if (!asked.is_write) {
            Source source{site_.root, asked.name, asked.is_netascii};
            return transfer.send(source, agree(asked, rules, source.size()));
        }
        if (!rules.may_write)
            throw Refusal{ErrorCode::access_violation, "files are only read here"};
        const Terms terms = agree(asked, rules, {});
        Sink sink{site_.root, asked.name, asked.is_netascii, rules.may_replace, rules.most_of_file};
        transfer.receive(sink, terms);
    }

    static constexpr std::size_t longest_request = 1024;  // RFC 2347 has 512
    /// A client that goes on from the same port would lose a request that comes while its session
    /// ends.
    static constexpr std::chrono::milliseconds pause{20};
    const Site& site_;
};
// [handler]

}  // namespace tftp

int main(int argc, char** argv) {
    apps::ServeOptions options{.port = 6969, .request_timeout = 600};
    std::string folder = ".";
    tftp::Rules rules;
    double retransmit = 1;
    CLI::App app{"Transfers the files of a folder by TFTP.", "tftp"};
    apps::add_plain_serve_options<apps::State::none>(app, options);
    app.add_option("--directory", folder, "whose files are transferred")
        ->check(CLI::ExistingDirectory)
        ->capture_default_str();
    app.add_flag("--allow-write", rules.may_write, "clients may write new files");
    app.add_flag("--overwrite", rules.may_replace, "and replace those that are there");
    app.add_option("--max-size", rules.most_of_file, "bytes of a file that is written")
        ->capture_default_str();
    app.add_option("--max-block", rules.most_of_block, "bytes, if the client wants more")
        ->check(CLI::Range(8, 65464))
        ->capture_default_str();
    app.add_option("--retransmit", retransmit, "seconds until a packet is sent again")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    app.add_option("--tries", rules.tries, "how often a packet is sent")
        ->check(CLI::Range(1, 100))
        ->capture_default_str();
    return apps::main_of(app, argc, argv, [&] {
        rules.timeout = *apps::time_of(retransmit);
        const tftp::Site site{apps::Root{folder}, rules};
        apps::serve_sessions<tftp::Handler>(options, [&] { return tftp::Handler{site}; });
    });
}
