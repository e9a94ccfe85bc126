// SPDX-License-Identifier: MIT
// Sends files of one folder: a client sends a name and gets the file. send_file [port] [folder]
// Try: echo README.md | nc localhost 9999
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>

#include <cstdio>
#include <filesystem>
#include <memory>

namespace ss = socketserver;

// [send_file]
class FileHandler : public ss::StreamRequestHandler {
  public:
    explicit FileHandler(const std::filesystem::path& folder) : folder_{folder} {}

  private:
    void handle() override {
        std::string name{rfile().readline(256)};
        if (name.ends_with('\n')) name.pop_back();
        const std::filesystem::path path = folder_ / name;
        // Only a plain name in this folder: no "..", no subfolder, no link that leads out of it.
        if (path.filename() != name || name.starts_with('.') ||
            !is_regular_file(symlink_status(path))) {
            return wfile().print("no such file: {}\n", name);
        }
        const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::fopen(path.c_str(), "rbe"),
                                                                   std::fclose};
        if (!file) return wfile().print("cannot be read: {}\n", name);
        // The kernel copies; the content never enters this program.
        request().sendfile(::fileno(file.get()));
    }

    const std::filesystem::path& folder_;
};
// [send_file]

int main(int argc, char** argv) {
    const auto port = argc > 1 ? ss::parse_port(argv[1]) : 9999;
    const std::filesystem::path folder = argc > 2 ? argv[2] : ".";
    ss::ThreadingTCPServer<FileHandler> server{
        {"localhost", port}, {}, [&] { return FileHandler{folder}; }};
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
