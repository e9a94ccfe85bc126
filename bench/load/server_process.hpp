// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace load {

// What the server has used so far: all its threads, its children, and the children that it has
// reaped. The client asks, not the script that starts both, so that the interval is exactly the one
// in which requests are counted.
class ServerProcess {
  public:
    explicit ServerProcess(pid_t pid) : pid_{pid} {}

    std::int64_t cpu_ns() const { return pid_ == 0 ? 0 : cpu_ns(pid_); }
    std::int64_t resident_bytes() const { return pid_ == 0 ? 0 : resident_bytes(pid_); }

  private:
    static std::string file(pid_t pid, const char* name) {
        std::ifstream stream{"/proc/" + std::to_string(pid) + "/" + name};
        std::ostringstream text;
        text << stream.rdbuf();
        return text.str();
    }

    static std::vector<pid_t> children(pid_t pid) {
        std::vector<pid_t> found;
        std::error_code error;
        const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
        for (const auto& task : std::filesystem::directory_iterator{tasks, error}) {
            std::ifstream list{task.path() / "children"};
            for (pid_t child = 0; list >> child;) found.push_back(child);
        }
        return found;
    }

    static std::int64_t cpu_ns(pid_t pid) {
        // The clock of the process counts nanoseconds, and keeps those of threads that have ended.
        std::int64_t sum = 0;
        clockid_t clock;
        timespec time;
        if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &time) == 0) {
            sum = std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
        }
        sum += reaped_ns(pid);
        for (const pid_t child : children(pid)) sum += cpu_ns(child);
        return sum;
    }

    // cutime and cstime: the 16th and 17th field of stat, the 14th and 15th after the name.
    static std::int64_t reaped_ns(pid_t pid) {
        const std::string stat = file(pid, "stat");
        std::istringstream fields{stat.substr(std::min(stat.rfind(')') + 1, stat.size()))};
        std::string skipped;
        for (int i = 0; i < 13; ++i) fields >> skipped;
        std::int64_t user = 0;
        std::int64_t system = 0;
        fields >> user >> system;
        return (user + system) * (1'000'000'000 / ::sysconf(_SC_CLK_TCK));
    }

    static std::int64_t resident_bytes(pid_t pid) {
        // Not statm: since Linux 6.2 its figures may lag behind by some pages per CPU.
        const std::string rollup = file(pid, "smaps_rollup");
        const auto at = rollup.find("Rss:");
        std::int64_t sum = at == std::string::npos ? 0 : std::stoll(rollup.substr(at + 4)) * 1024;
        for (const pid_t child : children(pid)) sum += resident_bytes(child);
        return sum;
    }

    pid_t pid_;
};

}  // namespace load
