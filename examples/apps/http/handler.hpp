// SPDX-License-Identifier: MIT
#pragma once

#include <socketserver/socketserver.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "../common/files.hpp"
#include "access_log.hpp"
#include "mime_types.hpp"
#include "request.hpp"

namespace http {

namespace ss = socketserver;

/// What all handlers share; nothing of it changes while they serve.
struct Site {
    apps::Root root;
    MimeTypes types;
    AccessLog log;
    bool gzip_static = false;  ///< whether "name.gz" is sent for "name" to who takes it
    std::uint64_t most_of_body = 1 << 20;
    std::optional<std::chrono::nanoseconds> request_timeout;  ///< of the server
};

/// Serves a connection: one request after the other.
class Handler : public ss::StreamRequestHandler {
  public:
    explicit Handler(Site& site) : site_{site} {
        wbufsize = 16 * 1024;  // answers to pipelined requests are sent together
        disable_nagle_algorithm = true;
    }

  private:
    void setup() override;
    void handle() override;

    bool serve_request();
    std::string_view read_head();
    void skip_body(RequestParser& parser, std::string_view expect);
    void answer(const Head& head);
    void answer_options(const Head& head);
    void answer_with_file(const Head& head, const std::string& path, apps::File file,
                          const struct stat& status);
    void answer_with_listing(const Head& head, const std::string& path, const apps::File& folder);

    void begin(int status, std::string_view reason);
    void field(std::string_view name, std::string_view value);
    void end_head(std::uint64_t size);
    void answer_in_short(int status, std::string_view reason, bool with_body = true);
    void refuse(int status, std::string_view reason);

    Site& site_;
    std::string host_;          // of the client, for the log
    std::string reply_;         // what is being put together
    std::string request_line_;  // for the log
    bool keep_alive_ = false;
    bool is_http_1_0_ = false;
    bool is_reading_ = false;  // the client owes the rest of a request
};

}  // namespace http
