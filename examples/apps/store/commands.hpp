// SPDX-License-Identifier: MIT
// The commands that read and change the database.
#pragma once

#include <string>
#include <string_view>

#include "database.hpp"
#include "resp.hpp"

namespace store {

/// What a command works with.
struct Context {
    Database& database;
    std::string& out;      ///< for the reply
    std::string* journal;  ///< for what it has changed, as commands; null: nothing is noted

    /// Notes a change. What depends on the time is noted as what it came to.
    void changed(Args args) const {
        if (journal != nullptr) append_command(*journal, args);
    }
};

struct Command {
    std::string_view name;  ///< in capitals
    int arity;              ///< with the name; negative: at least so many
    void (*run)(Context&, Args);
};

/// Null if there is none of this name, in whatever case.
const Command* find_command(std::string_view name);
bool has_arity(const Command& command, Args args);
/// Runs one command, or appends an error.
void run_command(Context& context, Args args);

/// Whether two names of commands are the same; `capitals` is in capitals.
bool is_command(std::string_view name, std::string_view capitals);

}  // namespace store
