// SPDX-License-Identifier: MIT
// A mail server that begins in plain text and goes over to TLS (STARTTLS), as SMTP does. It prints
// what it is sent, and keeps nothing. tls_starttls [port] [certificate] [key]
// Try, with a certificate as docs/guide/tls.md makes it:
//     openssl s_client -connect localhost:2525 -starttls smtp -CAfile cert.pem
//     swaks --server localhost:2525 --tls --to you@example.org
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#include <socketserver/tls.hpp>

#include <algorithm>
#include <cstdio>
#include <string>

namespace ss = socketserver;

char to_upper(char letter) {
    return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 'a' + 'A') : letter;
}

class MailHandler : public ss::StreamRequestHandler {
  public:
    explicit MailHandler(const ss::SSLContext& context) : context_{context} {
        timeout = std::chrono::minutes{5};  // of RFC 5321
    }

  private:
    void handle() override {
        reply("220 localhost ESMTP");
        for (const auto& [text, has_end] : rfile().lines()) {
            if (!has_end) return;  // the client left in the middle of a line
            std::string verb{text.substr(0, text.find_first_of(" :"))};
            std::ranges::transform(verb, verb.begin(), to_upper);
            if (verb == "QUIT") return reply("221 bye");
            if (verb == "DATA") {
                if (!receive_message()) return;
            } else {
                answer(verb);
            }
        }
    }
    void answer(const std::string& verb) {
        const bool is_encrypted = is_tls(connection());
        if (verb == "EHLO") {
            if (!is_encrypted) reply("250-localhost\r\n250 STARTTLS");
            if (is_encrypted) reply("250 localhost");
        } else if (verb == "STARTTLS" && !is_encrypted) {
            reply("220 go ahead");
            start_tls(connection(), rfile(), context_);  // refuses what came behind the command
        } else if (verb == "MAIL" && !is_encrypted) {
            reply("530 first STARTTLS");
        } else if (verb == "MAIL" || verb == "RCPT" || verb == "RSET" || verb == "NOOP") {
            reply("250 ok");
        } else {
            reply("502 unknown");
        }
    }
    bool receive_message() {
        reply("354 end with a dot");
        std::string message;
        for (const auto& [text, has_end] : rfile().lines()) {
            if (!has_end) return false;
            if (text == ".") {
                fmt::print("{}", message);
                std::fflush(stdout);
                reply("250 ok");
                return true;
            }
            message += text.starts_with('.') ? text.substr(1) : text;
            message += '\n';
        }
        return false;
    }
    void reply(const std::string& text) { wfile().write(text + "\r\n"); }

    const ss::SSLContext& context_;
};

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 2525;
    const std::string certfile = argc > 2 ? argv[2] : "cert.pem";
    const std::string keyfile = argc > 3 ? argv[3] : "key.pem";
    try {
        ss::SSLContext context{ss::TLSPurpose::server};
        context.load_cert_chain(certfile, keyfile);
        ss::ThreadingTCPServer<MailHandler> server{
            {"localhost", port}, {}, [&] { return MailHandler{context}; }};
        const ss::ShutdownOnSignal signals{server};
        fmt::print(stderr, "serving on {}\n", server.server_address());
        server.serve_forever();
    } catch (const ss::SSLError& error) {
        fmt::print(stderr, "{}\n", error.what());
        return 1;
    }
}
