// SPDX-License-Identifier: MIT
#pragma once

#include <socketserver/socketserver.hpp>
#include <socketserver/tls.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "maildir.hpp"

namespace smtp {

namespace ss = socketserver;

/// What all handlers share; nothing of it changes while they serve.
struct Site {
    Maildir maildir;
    std::string host;                   ///< how the server calls itself
    std::optional<ss::SSLContext> tls;  ///< for STARTTLS; nothing: it is not offered
    bool needs_tls;                     ///< before a mail is taken
    std::uint64_t most_of_mail;         ///< bytes
    std::size_t most_recipients;        ///< of a mail
};

/// Serves a connection: mails, one after the other.
class Handler : public ss::StreamRequestHandler {
  public:
    explicit Handler(const Site& site) : site_{site} {
        wbufsize = -1;  // what answers several commands that came together goes out together
        disable_nagle_algorithm = true;
    }

  private:
    /// What belongs to one mail: until its end, RSET or EHLO.
    struct Transaction {
        std::optional<std::string> sender;
        std::vector<std::string> recipients;
    };
    enum class Next : bool { command, end };

    void handle() override;
    Next serve_command();
    Next dispatch(std::string_view verb, std::string_view argument);

    Next say_hello(std::string_view client, bool is_extended);
    Next begin_tls(std::string_view argument);
    Next take_sender(std::string_view argument);
    Next take_recipient(std::string_view argument);
    Next take_mail();

    /// The text of a mail, as it comes.
    struct Content {
        std::optional<Mail> mail;
        std::string refusal;  ///< the answer, if it is none that is kept
        std::uint64_t size = 0;
    };
    bool read_content(Content& content);
    void add(Content& content, std::string_view text);
    template <class Work>
    static void store(Content& content, Work work);
    std::string_view read_part();
    std::string trace() const;

    Next reply(std::string_view answer);
    Next refuse(std::string_view answer);

    const Site& site_;
    std::string client_;  // as it calls itself; empty: it has not said it
    bool is_extended_ = false;
    Transaction transaction_;
    std::string part_;  // of a line that is too long
    int refusals_ = 0;
};

}  // namespace smtp
