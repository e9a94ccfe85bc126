// SPDX-License-Identifier: MIT
// What docs/guide/tls.md shows. Runs once, with a certificate and its key as arguments.
#include <socketserver/socketserver.hpp>
#include <socketserver/tls_server.hpp>

#include <stdexcept>
#include <string>
#include <thread>

namespace ss = socketserver;

namespace {

class EchoHandler : public ss::StreamRequestHandler {
    void handle() override {
        for (std::string_view line : rfile()) wfile().write(line);
    }
};

// [starttls]
class MailHandler : public ss::StreamRequestHandler {
  public:
    explicit MailHandler(const ss::SSLContext& context) : context_{context} {}

  private:
    void handle() override {
        wfile().write("220 ready\r\n");
        for (std::string_view line : rfile()) {
            if (line == "STARTTLS\r\n" && !is_tls(connection())) {
                wfile().write("220 go ahead\r\n");
                start_tls(connection(), rfile(), context_);
            } else {
                wfile().print("250 {}\r\n", is_tls(connection()) ? "encrypted" : "plain");
            }
        }
    }
    const ss::SSLContext& context_;
};
// [starttls]

// [members]
class MembersOnly : public ss::TLSServer<ss::ThreadingTCPServer<EchoHandler>> {
  public:
    using TLSServer::TLSServer;
    ~MembersOnly() override { server_close(); }

  protected:
    bool verify_peer(const ss::TLSConnection& connection, const ss::Address&) override {
        return connection.getpeercert()->common_name == "localhost";
    }
};
// [members]

// [members_context]
ss::SSLContext members_context(const std::string& certfile, const std::string& keyfile,
                               const std::string& cafile) {
    ss::SSLContext context{ss::TLSPurpose::server};
    context.load_cert_chain(certfile, keyfile);
    context.load_verify_locations(cafile);
    context.verify_mode(ss::VerifyMode::required);
    return context;
}
// [members_context]

// [client]
std::string ask(const ss::Address& address, const ss::SSLContext& context, std::string_view line) {
    ss::Socket server = ss::create_connection(address, context, std::chrono::seconds{10});
    server.sendall(line);
    return std::string{ss::BufferedReader{server}.readline()};
}
// [client]

void require(bool condition, const char* what) {
    if (!condition) throw std::runtime_error(what);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 1;
    const std::string certfile = argv[1];
    const std::string keyfile = argv[2];
    ss::SSLContext client = ss::create_default_context(certfile);
    client.load_cert_chain(certfile, keyfile);

    {
        // [server]
        ss::TLSServer<ss::ThreadingTCPServer<EchoHandler>> server{
            {"localhost", 0}, {.certfile = certfile, .keyfile = keyfile}};
        // [server]
        const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};
        require(ask({"localhost", server.server_address().port()}, client, "hello\n") == "hello\n",
                "no hello");
        server.context().reload();
    }
    {
        MembersOnly server{{"localhost", 0}, members_context(certfile, keyfile, certfile)};
        const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};
        require(ask({"localhost", server.server_address().port()}, client, "hello\n") == "hello\n",
                "no hello for a member");
    }
    const ss::SSLContext context = ss::TLSFiles{certfile, keyfile}.context();
    ss::ThreadingTCPServer<MailHandler> server{
        {"localhost", 0}, {}, [&] { return MailHandler{context}; }};
    const std::jthread serving{[&](std::stop_token stop) { server.serve_forever(stop); }};
    ss::Socket mail = ss::create_connection(server.server_address());
    mail.settimeout(std::chrono::seconds{10});
    ss::BufferedReader replies{mail};
    require(replies.readline() == "220 ready\r\n", "no greeting");
    mail.sendall("STARTTLS\r\n");
    require(replies.readline() == "220 go ahead\r\n", "no STARTTLS");
    start_tls(mail, client, "localhost");
    mail.sendall("NOOP\r\n");
    require(replies.readline() == "250 encrypted\r\n", "not encrypted");
}
