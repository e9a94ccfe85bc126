// SPDX-License-Identifier: MIT
// Tutorial, step 6: what handle_error() sees.
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <exception>

#include "quotes.hpp"

namespace ss = socketserver;

// [server]
class QuoteServer : public ss::ThreadingTCPServer<QuoteHandler> {
  public:
    using TCPServer::TCPServer;
    ~QuoteServer() override { server_close(); }  // no handler runs beyond this point

  protected:
    void handle_error(ss::Socket& request, const ss::Address& client_address,
                      std::exception_ptr error) override {
        try {
            std::rethrow_exception(error);
        } catch (const ss::TimeoutError&) {
            fmt::print(stderr, "{} was silent for too long\n", client_address);
        } catch (const ss::LineTooLong&) {
            fmt::print(stderr, "{} sent a line without end\n", client_address);
        } catch (...) {
            TCPServer::handle_error(request, client_address, error);
        }
    }
};
// [server]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    Quotes quotes;
    QuoteServer server{{"localhost", port}, {}, [&] { return QuoteHandler{quotes}; }};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
