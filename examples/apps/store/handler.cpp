// SPDX-License-Identifier: MIT
#include "handler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace store {

namespace {

constexpr std::size_t first_buffer = std::size_t{16} * 1024;
/// So much of replies is sent before further commands are run.
constexpr std::size_t most_of_replies = std::size_t{256} * 1024;
constexpr std::size_t most_queued = 100'000;

std::int64_t milliseconds_now() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

}  // namespace

Store::Store(const std::string& journal_path, bool is_synced, std::size_t longest)
    : journal{journal_path, is_synced}, longest_command{longest} {
    if (journal.is_open()) replay();
}

void Store::replay() {
    const std::string text = journal.read();
    std::string_view left = text;
    std::size_t whole = 0;  // up to here
    std::vector<std::string_view> args;
    std::vector<std::vector<std::string_view>> transaction;
    bool is_transaction = false;
    std::string out;
    // The time stands still, at the beginning: what expired is in the journal.
    Context context{database, out, nullptr};
    while (const std::size_t size = parse_command(left, args, longest_command + 64)) {
        left.remove_prefix(size);
        if (args.empty()) throw ProtocolError{"the journal has an empty command"};
        if (args[0] == "MULTI") {
            is_transaction = true;
        } else if (args[0] == "EXEC") {
            for (const auto& each : transaction) run_command(context, each);
            transaction.clear();
            is_transaction = false;
        } else if (is_transaction) {
            transaction.push_back(args);
        } else {
            run_command(context, args);
        }
        if (out.starts_with('-')) throw ProtocolError{"the journal does not fit: " + out};
        out.clear();
        if (!is_transaction) whole = text.size() - left.size();
    }
    journal.cut(whole);
}

void Handler::setup() {
    request().set_nodelay(true);
    input_.resize(first_buffer);
}

// [handle]
void Handler::handle() {
    while (receive()) {
        while (run_commands()) {
        }
        if (is_ending_) return;
    }
}
// [handle]

void Handler::finish() {
    if (outbox_ != nullptr) {
        for (const std::string& channel : subscriptions_) {
            store_.channels.unsubscribe(channel, *outbox_);
        }
        outbox_.reset();
    }
}

bool Handler::receive() {
    if (begin_ == end_) {
        begin_ = end_ = 0;
    } else if (end_ == input_.size()) {
        // What is there is half a command: it moves to the front, and has room to grow.
        input_.erase(0, begin_);
        end_ -= begin_;
        begin_ = 0;
        input_.resize(std::max(first_buffer, end_ * 2));
    }
    const std::size_t got = request().recv_into({input_.data() + end_, input_.size() - end_});
    end_ += got;
    return got > 0;
}

/// Runs what has come, and replies. True: it has stopped before it was through.
bool Handler::run_commands() {
    std::uint64_t position = 0;
    bool is_cut = false;
    try {
        const std::lock_guard lock{store_.mutex};
        store_.database.set_time(milliseconds_now(), [&](std::string_view key) {
            append_command(changes_, std::array<std::string_view, 2>{"DEL", key});
        });
        while (!is_ending_ && !(is_cut = out_.size() >= most_of_replies)) {
            const std::size_t size =
                parse_command(std::string_view{input_}.substr(begin_, end_ - begin_), args_,
                              store_.longest_command);
            if (size == 0) break;
            // What it sends by itself must not come before the replies, nor these before a commit.
            if (!args_.empty() && is_command(args_[0], "SUBSCRIBE") &&
                !(out_.empty() && changes_.empty())) {
                is_cut = true;
                break;
            }
            if (!args_.empty()) run(args_);
            begin_ += size;
        }
        if (store_.journal.is_open() && !changes_.empty()) {
            position = store_.journal.append(changes_);
        }
    } catch (const ProtocolError& error) {
        append_error(out_, fmt::format("ERR Protocol error: {}", error.what()));
        is_ending_ = true;
        if (store_.journal.is_open() && !changes_.empty()) {
            position = store_.journal.append(changes_);
        }
    }
    changes_.clear();
    if (position > 0) store_.journal.commit(position);  // before anybody is told
    send();
    return is_cut;
}

void Handler::send() {
    if (out_.empty()) return;
    if (outbox_ != nullptr) {  // behind the messages that came before
        outbox_->send(std::make_shared<const std::string>(std::move(out_)));
        out_ = {};
    } else {
        request().sendall(out_);
        if (out_.capacity() > most_of_replies) out_ = {};
        out_.clear();
    }
}

/// With the store locked.
void Handler::run(Args args) {
    const std::string_view name = args[0];
    if (is_command(name, "MULTI")) {
        if (queued_) return append_error(out_, "ERR MULTI calls can not be nested");
        queued_.emplace();
        is_transaction_bad_ = false;
        return append_simple(out_, "OK");
    }
    if (is_command(name, "EXEC")) return execute();
    if (is_command(name, "DISCARD")) {
        if (!queued_) return append_error(out_, "ERR DISCARD without MULTI");
        queued_.reset();
        return append_simple(out_, "OK");
    }
    if (is_command(name, "QUIT")) {
        is_ending_ = true;
        return append_simple(out_, "OK");
    }
    const bool is_channel_command = is_command(name, "SUBSCRIBE") ||
                                    is_command(name, "UNSUBSCRIBE") || is_command(name, "PUBLISH");
    if (queued_) {
        const Command* const command = find_command(name);
        if (is_channel_command || command == nullptr || !has_arity(*command, args) ||
            queued_->size() >= most_queued) {
            is_transaction_bad_ = true;
            return append_error(out_, "ERR this cannot stand in a transaction");
        }
        queued_->emplace_back(args.begin(), args.end());
        return append_simple(out_, "QUEUED");
    }
    if (is_channel_command) {
        if (args.size() < (is_command(name, "UNSUBSCRIBE") ? 1U : 2U) ||
            (is_command(name, "PUBLISH") && args.size() != 3)) {
            return append_error(out_, "ERR wrong number of arguments");
        }
        if (is_command(name, "SUBSCRIBE")) return subscribe(args);
        if (is_command(name, "UNSUBSCRIBE")) return unsubscribe(args);
        const std::size_t count = store_.channels.publish(args[1], args[2]);
        return append_integer(out_, static_cast<std::int64_t>(count));
    }
    if (!subscriptions_.empty() && !is_command(name, "PING")) {
        return append_error(out_, "ERR only (UN)SUBSCRIBE, PING and QUIT while subscribed");
    }
    if (!subscriptions_.empty()) {  // as an array, so that it is no reply to something else
        append_array(out_, 2);
        append_bulk(out_, "pong");
        return append_bulk(out_, args.size() > 1 ? args[1] : "");
    }
    Context context{store_.database, out_, store_.journal.is_open() ? &changes_ : nullptr};
    run_command(context, args);
}

/// Nobody sees half of it, neither now nor in the journal.
void Handler::execute() {
    if (!queued_) return append_error(out_, "ERR EXEC without MULTI");
    const auto queued = std::move(*queued_);
    queued_.reset();
    if (is_transaction_bad_) {
        return append_error(out_, "EXECABORT Transaction discarded because of previous errors.");
    }
    std::string changes;
    Context context{store_.database, out_, store_.journal.is_open() ? &changes : nullptr};
    append_array(out_, queued.size());
    for (const auto& each : queued) {
        const std::vector<std::string_view> args{each.begin(), each.end()};
        run_command(context, args);
    }
    if (changes.empty()) return;
    append_command(changes_, std::array<std::string_view, 1>{"MULTI"});
    changes_ += changes;
    append_command(changes_, std::array<std::string_view, 1>{"EXEC"});
}

void Handler::confirm(std::string_view kind, std::optional<std::string_view> channel) {
    append_array(out_, 3);
    append_bulk(out_, kind);
    channel ? append_bulk(out_, *channel) : append_null(out_);
    append_integer(out_, static_cast<std::int64_t>(subscriptions_.size()));
}

void Handler::subscribe(Args args) {
    if (outbox_ == nullptr) {
        outbox_ = std::make_unique<Outbox>(request());
    }
    for (const std::string_view channel : args.subspan(1)) {
        const std::string name{channel};
        subscriptions_.insert(name);
        confirm("subscribe", channel);
        // Before the first message of it: nobody publishes while the store is locked.
        outbox_->send(std::make_shared<const std::string>(std::move(out_)));
        out_.clear();
        store_.channels.subscribe(name, *outbox_);
    }
}

void Handler::unsubscribe(Args args) {
    std::vector<std::string> names{args.begin() + 1, args.end()};
    if (names.empty()) names.assign(subscriptions_.begin(), subscriptions_.end());
    if (names.empty()) return confirm("unsubscribe", {});
    for (const std::string& name : names) {
        if (outbox_ != nullptr) store_.channels.unsubscribe(name, *outbox_);
        subscriptions_.erase(name);
        confirm("unsubscribe", name);
    }
}

}  // namespace store
