// SPDX-License-Identifier: MIT
// A file server over HTTP/1.1, as `python -m http.server`. See README.md here, and --help.
#include "../common/serve.hpp"
#include "handler.hpp"

int main(int argc, char** argv) {
    apps::ServeOptions options{.port = 8000};
    std::string folder = ".", log = "-", mime_types = "/etc/mime.types";
    bool gzip_static = false;
    CLI::App app{"Serves the files of a folder over HTTP.", "http"};
    apps::add_serve_options<apps::State::none>(app, options);
    app.add_option("--directory", folder, "what is served")
        ->check(CLI::ExistingDirectory)
        ->capture_default_str();
    app.add_option("--log", log, "file for a line for each request; \"-\": stderr, \"\": none")
        ->capture_default_str();
    app.add_option("--mime-types", mime_types, "which ending has which type")
        ->capture_default_str();
    app.add_flag("--gzip-static", gzip_static, "send name.gz for name to clients that take it");
    return apps::main_of(app, argc, argv, [&] {
        http::Site site{.root = apps::Root{folder},
                        .types = http::MimeTypes{mime_types},
                        .log = http::AccessLog{log},
                        .gzip_static = gzip_static,
                        .request_timeout = apps::time_of(options.request_timeout)};
        apps::serve<http::Handler, apps::State::none>(options, [&] { return http::Handler{site}; });
    });
}
