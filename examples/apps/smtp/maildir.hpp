// SPDX-License-Identifier: MIT
// A folder of mails, each a file: https://cr.yp.to/proto/maildir.html
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "../common/files.hpp"

namespace smtp {

/// May be used from any thread, and by several processes.
class Maildir {
  public:
    /// Makes it with its three folders, where it is missing.
    ///
    /// @throws std::system_error
    explicit Maildir(const std::filesystem::path& folder);

  private:
    friend class Mail;

    apps::File temporary_, new_;
};

/// A mail that is being received. Without deliver() nothing is left of it.
class Mail {
  public:
    /// @throws std::system_error
    explicit Mail(const Maildir& maildir);
    Mail(const Mail&) = delete;
    Mail& operator=(const Mail&) = delete;
    ~Mail();

    /// @throws std::system_error
    void write(std::string_view text);
    /// Has the disk store the mail, and moves it to the new ones. It is there when the call
    /// returns, also after a loss of power.
    ///
    /// @throws std::system_error
    void deliver();

  private:
    void flush();

    const Maildir& maildir_;
    const std::string name_;
    apps::File file_;
    std::string waiting_;  // to be written
    bool is_delivered_ = false;
};

}  // namespace smtp
