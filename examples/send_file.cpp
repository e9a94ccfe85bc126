// SPDX-License-Identifier: MIT
// Sends files of one folder: a client sends a name and gets the file. send_file [port] [folder]
// Try: echo README.md | nc localhost 9999
#include <fcntl.h>
#include <fmt/format.h>
#include <socketserver/socketserver.hpp>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

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
        if (path.parent_path() != folder_ || name.starts_with('.') ||
            !is_regular_file(symlink_status(path))) {
            return wfile().print("no such file: {}\n", name);
        }
        const int file = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (file == -1) return wfile().print("cannot be read: {}\n", name);
        const std::shared_ptr<const int> closing{&file, [](const int* it) { ::close(*it); }};
        request().sendfile(file);  // the kernel copies; the file never enters this program
    }

    const std::filesystem::path& folder_;
};
// [send_file]

int main(int argc, char** argv) {
    const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 9999);
    const std::filesystem::path folder = argc > 2 ? argv[2] : ".";
    ss::ThreadingTCPServer<FileHandler> server{
        {"localhost", port}, {}, [&] { return FileHandler{folder}; }};
    const ss::ShutdownOnSignal signals{server};
    fmt::print(stderr, "serving on {}\n", server.server_address());
    server.serve_forever();
}
