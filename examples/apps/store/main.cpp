// SPDX-License-Identifier: MIT
// A store that speaks the protocol of Redis. See README.md here, and --help.
#include "../common/serve.hpp"
#include "handler.hpp"

int main(int argc, char** argv) {
    apps::ServeOptions options{.port = 6379, .idle_timeout = 0, .request_timeout = 0, .drain = 1};
    std::string journal;
    bool is_synced = false;
    std::size_t longest_command = std::size_t{64} << 20;
    CLI::App app{"Keeps keys and values for clients of Redis.", "store"};
    apps::add_serve_options<apps::State::in_memory>(app, options);
    app.add_option("--journal", journal,
                   "file to which every change is appended; none: memory only");
    app.add_flag("--fsync", is_synced, "reply when the disk has a change, not only the kernel");
    app.add_option("--longest-command", longest_command, "in bytes")->capture_default_str();
    return apps::main_of(app, argc, argv, [&] {
        store::Store store{journal, is_synced, longest_command};
        apps::serve<store::Handler, apps::State::in_memory>(options,
                                                            [&] { return store::Handler{store}; });
    });
}
