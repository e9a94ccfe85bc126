// SPDX-License-Identifier: MIT
// Takes mails by SMTP and keeps them in a folder. See README.md here, and --help.
#include "../common/serve.hpp"
#include "handler.hpp"

int main(int argc, char** argv) {
    apps::ServeOptions options{.port = 2525, .idle_timeout = 300, .request_timeout = 600};
    std::string folder, host = "localhost", certfile, keyfile;
    bool needs_tls = false;
    std::uint64_t most_of_mail = 25'000'000;
    std::size_t most_recipients = 100;
    CLI::App app{"Takes mails by SMTP and keeps them in a folder.", "smtp"};
    apps::add_plain_serve_options<apps::State::none>(app, options);
    app.add_option("--maildir", folder, "where they are kept")->required();
    app.add_option("--hostname", host, "how the server calls itself")->capture_default_str();
    app.add_option("--certfile", certfile, "offer STARTTLS with this certificate (PEM)")
        ->check(CLI::ExistingFile);
    app.add_option("--keyfile", keyfile, "its key, if that is not in the same file")
        ->check(CLI::ExistingFile);
    app.add_flag("--require-tls", needs_tls, "take no mail before STARTTLS");
    app.add_option("--max-size", most_of_mail, "bytes of a mail")->capture_default_str();
    app.add_option("--max-recipients", most_recipients, "of a mail")->capture_default_str();
    return apps::main_of(app, argc, argv, [&] {
        smtp::Site site{.maildir = smtp::Maildir{folder},
                        .host = host,
                        .tls = {},
                        .needs_tls = needs_tls,
                        .most_of_mail = most_of_mail,
                        .most_recipients = most_recipients};
        if (!certfile.empty()) {
            site.tls.emplace(socketserver::TLSPurpose::server).load_cert_chain(certfile, keyfile);
        }
        apps::serve<smtp::Handler, apps::State::none>(options, [&] { return smtp::Handler{site}; });
    });
}
