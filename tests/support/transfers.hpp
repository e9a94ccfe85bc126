// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

#include "support/connected_sockets.hpp"

/// What is sent in the tests of sockets: more than the kernel takes at once.
namespace socketserver::tests {

/// A file with known content.
class File {
  public:
    explicit File(std::string content) : content_{std::move(content)} {
        std::ofstream{folder_ / "file"} << content_;
        descriptor_ = ::open((folder_ / "file").c_str(), O_RDONLY | O_CLOEXEC);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() { ::close(descriptor_); }
    int descriptor() const { return descriptor_; }
    const std::string& content() const { return content_; }

  private:
    std::string content_;
    TemporaryFolder folder_;
    int descriptor_ = -1;
};

inline std::string pattern(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
    return text;
}

/// Receives all in a thread of its own, until the end of stream.
class Receiver {
  public:
    explicit Receiver(Socket& socket) : thread_{[this, &socket] { data_ = receive_all(socket); }} {}
    std::string join() {
        thread_.join();
        return std::move(data_);
    }

  private:
    std::string data_;
    std::jthread thread_;
};

}  // namespace socketserver::tests
