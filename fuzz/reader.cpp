// SPDX-License-Identifier: MIT
// BufferedReader over a connection whose bytes come in any pieces, and a simple model of it: they
// agree on every call, also on one that would have to wait, which loses nothing.
#include <socketserver/buffered_reader.hpp>
#include <socketserver/errors.hpp>
#include <socketserver/socket.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "require.hpp"
#include "script.hpp"

namespace {

using fuzz::require;
using fuzz::Script;
namespace ss = socketserver;

/// What a call has come to.
struct Outcome {
    enum Kind { bytes, too_long, incomplete, would_wait } kind;
    std::string text{};

    friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome of_call(auto call) {
    try {
        return {Outcome::bytes, std::string{call()}};
    } catch (const ss::LineTooLong&) {
        return {Outcome::too_long};
    } catch (const ss::IncompleteReadError& error) {
        return {Outcome::incomplete, error.partial()};
    } catch (const std::system_error& error) {
        require(error.code() == std::errc::resource_unavailable_try_again,
                "an error of the socket");
        return {Outcome::would_wait};
    }
}

class Model {
  public:
    std::string pending{};  // sent, and not taken
    bool is_ended = false;

    Outcome message(std::string_view delimiter, std::size_t limit) {
        const std::size_t at = pending.find(delimiter);
        if (at != std::string::npos) {
            const std::size_t size = at + delimiter.size();
            return size <= limit ? take(size) : Outcome{Outcome::too_long};
        }
        if (pending.size() >= limit) return {Outcome::too_long};
        return is_ended ? take(pending.size()) : Outcome{Outcome::would_wait};
    }
    Outcome counted(std::size_t size) {
        if (pending.size() >= size || is_ended) return take(std::min(size, pending.size()));
        return {Outcome::would_wait};
    }
    Outcome exactly(std::size_t size) {
        if (pending.size() >= size) return take(size);
        if (!is_ended) return {Outcome::would_wait};
        return {Outcome::incomplete, take(pending.size()).text};
    }
    /// Of a call that may take less than there is.
    void check_some(const Outcome& outcome, std::size_t most, bool takes) {
        if (outcome.kind == Outcome::would_wait) {
            require(pending.empty() && !is_ended, "it waits although there is something");
            return;
        }
        require(outcome.kind == Outcome::bytes, "it is an error");
        require(outcome.text.size() <= most && pending.starts_with(outcome.text), "other bytes");
        require(!outcome.text.empty() || (pending.empty() && is_ended), "an end that is none");
        if (takes) pending.erase(0, outcome.text.size());
    }

  private:
    Outcome take(std::size_t size) {
        Outcome outcome{Outcome::bytes, pending.substr(0, size)};
        pending.erase(0, size);
        return outcome;
    }
};

void run(Script& script, std::string_view stream) {
    int ends[2];
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    ss::Socket far{ends[0]};
    ss::Socket near{ends[1]};
    near.settimeout(std::chrono::nanoseconds{0});
    ss::BufferedReader reader{near, script.next() * 16};
    Model model;
    while (!script.is_over()) {
        const std::size_t choice = script.next() % 10;
        const std::size_t size = script.next();
        if (choice < 3) {  // the client sends, or ends its output
            if (model.is_ended) continue;
            const std::string_view part = stream.substr(0, size);
            stream.remove_prefix(part.size());
            far.sendall(part);
            model.pending += part;
            if (stream.empty() && size == 255) {
                far.shutdown(ss::ShutdownHow::write);
                model.is_ended = true;
            }
        } else if (choice == 3) {
            const std::size_t limit = 1 + size;
            require(of_call([&] { return reader.readline(limit); }) == model.message("\n", limit),
                    "readline");
        } else if (choice == 4) {
            constexpr std::string_view delimiters[]{"\r\n", "ab", "aab", "x"};
            const std::string_view delimiter = delimiters[size % 4];
            const std::size_t limit = delimiter.size() + size;
            require(of_call([&] { return reader.read_until(delimiter, limit); }) ==
                        model.message(delimiter, limit),
                    "read_until");
        } else if (choice == 5) {
            require(of_call([&] { return reader.read(size); }) == model.counted(size), "read");
        } else if (choice == 6) {
            require(of_call([&] { return reader.read_exactly(size); }) == model.exactly(size),
                    "read_exactly");
        } else if (choice == 7) {
            model.check_some(of_call([&] { return reader.read1(size + 1); }), size + 1, true);
        } else if (choice == 8) {
            model.check_some(of_call([&] { return reader.peek(); }), stream.max_size(), false);
        } else {
            std::string buffer(size + 1, '\0');
            model.check_some(of_call([&] {
                                 buffer.resize(reader.readinto(buffer));
                                 return buffer;
                             }),
                             size + 1, true);
        }
    }
}

}  // namespace

/// The first byte says how much of the rest is the script; what remains is what the client sends.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    const std::size_t length = std::min<std::size_t>(std::size_t{data[0]} * 4, size - 1);
    Script script{text.substr(1, length)};
    run(script, text.substr(1 + length));
    return 0;
}
