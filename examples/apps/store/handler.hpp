// SPDX-License-Identifier: MIT
#pragma once

#include <socketserver/socketserver.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "channels.hpp"
#include "commands.hpp"
#include "journal.hpp"

namespace store {

namespace ss = socketserver;

/// What all handlers share.
class Store {
  public:
    /// Makes the database that the journal describes. A command at its end that is not whole, or a
    /// transaction that has not ended, was never acknowledged, and is cut off.
    ///
    /// @throws std::system_error; ProtocolError if the file is no journal.
    Store(const std::string& journal_path, bool is_synced, std::size_t longest_command);

    std::mutex mutex;  ///< of the database and of the order of the journal; nobody waits with it
    Database database;
    Journal journal;
    Channels channels;
    const std::size_t longest_command;

  private:
    void replay();
};

/// Serves a client.
class Handler : public ss::BaseRequestHandler<ss::Socket> {
  public:
    explicit Handler(Store& store) : store_{store} {}

  private:
    void setup() override;
    void handle() override;
    void finish() override;

    bool receive();
    bool run_commands();
    void run(Args args);
    void execute();
    void subscribe(Args args);
    void unsubscribe(Args args);
    void confirm(std::string_view kind, std::optional<std::string_view> channel);
    void send();

    Store& store_;
    std::string input_;  // what was received lies between the next two
    std::size_t begin_ = 0, end_ = 0;
    std::string out_;      // replies
    std::string changes_;  // for the journal
    std::vector<std::string_view> args_;
    std::optional<std::vector<std::vector<std::string>>> queued_;  // since MULTI
    bool is_transaction_bad_ = false;
    bool is_ending_ = false;
    std::unique_ptr<Outbox> outbox_;
    std::set<std::string, std::less<>> subscriptions_;
};

}  // namespace store
