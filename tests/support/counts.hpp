// SPDX-License-Identifier: MIT
// What this process holds: descriptors, threads, children. For tests that nothing is left behind.
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <thread>

#include <unistd.h>

#include "support/serving.hpp"

namespace socketserver::tests {

inline std::size_t entries_of(const char* folder) {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator{folder}, {}));
}

inline std::size_t open_descriptors() { return entries_of("/proc/self/fd") - 1; }  // its own
inline std::size_t thread_count() {
    // A sanitizer makes a thread of its own together with the program's first one, for good. And a
    // thread that was joined stays in /proc for a moment.
    static const bool has_had_a_thread = [] {
        pid_t id = 0;
        std::thread{[&id] { id = ::gettid(); }}.join();
        const auto entry = std::filesystem::path{"/proc/self/task"} / std::to_string(id);
        return eventually([&] { return !std::filesystem::exists(entry); });
    }();
    return has_had_a_thread ? entries_of("/proc/self/task") : 0;
}

/// The children of this process, zombies included.
inline std::size_t child_count() {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
        const std::string name = entry.path().filename();
        if (!std::all_of(name.begin(), name.end(),
                         [](unsigned char c) { return std::isdigit(c) != 0; })) {
            continue;
        }
        std::ifstream file{entry.path() / "stat"};  // "pid (name) state parent ..."
        std::string text;
        std::getline(file, text);
        const std::size_t after_name = text.rfind(") ");
        if (after_name == std::string::npos) continue;  // it has gone meanwhile
        if (std::stoi(text.substr(after_name + 4)) == ::getpid()) ++count;
    }
    return count;
}

struct Counts {
    std::size_t descriptors = open_descriptors();
    std::size_t threads = thread_count();
    std::size_t children = child_count();

    friend bool operator==(const Counts&, const Counts&) = default;

    /// Whether everything is gone that came since. A thread that was joined may be seen in /proc
    /// for a moment.
    bool are_back() const {
        return eventually([this] { return Counts{} == *this; });
    }
};

}  // namespace socketserver::tests
