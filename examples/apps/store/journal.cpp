// SPDX-License-Identifier: MIT
#include "journal.hpp"

#include <fcntl.h>
#include <socketserver/fiber.hpp>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace store {

namespace {

[[noreturn]] void fail(const std::string& what) {
    throw std::system_error{errno, std::generic_category(), what};
}

}  // namespace

Journal::Journal(const std::string& path, bool is_synced) : is_synced_{is_synced} {
    if (path.empty()) return;
    file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (file_ == -1) fail(path);
    if (::flock(file_, LOCK_EX | LOCK_NB) == -1) {
        const int error = errno;
        ::close(file_);
        throw std::system_error{error, std::generic_category(), path + " (in use?)"};
    }
}

Journal::~Journal() {
    if (file_ != -1) ::close(file_);
}

std::string Journal::read() const {
    std::string text;
    std::array<char, 65536> part{};
    for (ssize_t got = 0;;) {
        got = ::pread(file_, part.data(), part.size(), static_cast<off_t>(text.size()));
        if (got == -1 && errno == EINTR) continue;
        if (got == -1) fail("reading the journal");
        if (got == 0) return text;
        text.append(part.data(), static_cast<std::size_t>(got));
    }
}

void Journal::cut(std::size_t size) {
    if (::ftruncate(file_, static_cast<off_t>(size)) == -1) fail("cutting the journal");
    size_ = size;
}

std::uint64_t Journal::append(std::string_view changes) {
    const std::lock_guard lock{pending_mutex_};
    pending_ += changes;
    return appended_ += changes.size();
}

// [commit]
void Journal::commit(std::uint64_t position) {
    std::unique_lock lock{mutex_};
    while (written_ < position) {
        if (is_writing_) {
            group_written_.wait(lock);  // perhaps the group has these changes too
        } else {
            write_group(lock);
        }
    }
}

/// Writes for all who have appended something by then.
void Journal::write_group(std::unique_lock<ss::Mutex>& lock) {
    is_writing_ = true;
    lock.unlock();
    std::string group;
    std::uint64_t end = 0;
    std::size_t written = 0;
    int error = 0;
    try {
        ss::yield();  // who can run now appends first
    } catch (...) {
        error = ECANCELED;
    }
    if (error == 0) {
        const std::lock_guard pending{pending_mutex_};
        group.swap(pending_);
        end = appended_;
    }
    const auto work = [&] {
        while (error == 0 && written < group.size()) {
            const ssize_t taken = ::write(file_, group.data() + written, group.size() - written);
            if (taken >= 0) {
                written += static_cast<std::size_t>(taken);
            } else if (errno != EINTR) {
                error = errno;
            }
        }
        if (error == 0 && is_synced_ && ::fdatasync(file_) == -1) error = errno;
    };
    if (is_synced_) {
        ss::run_blocking(work);  // a disk takes its time
    } else {
        work();
    }
    if (error != 0 && !group.empty()) {
        // Half a command must not stand in the middle of the file.
        [[maybe_unused]] const int cut = ::ftruncate(file_, static_cast<off_t>(size_));
        const std::lock_guard pending{pending_mutex_};
        pending_.insert(0, group);
    }
    lock.lock();
    is_writing_ = false;
    if (error == 0) {
        size_ += group.size();
        written_ = end;
    }
    group_written_.notify_all();
    if (error != 0) throw std::system_error{error, std::generic_category(), "journal"};
}
// [commit]

}  // namespace store
