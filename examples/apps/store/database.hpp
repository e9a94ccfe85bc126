// SPDX-License-Identifier: MIT
// What is stored. Knows nothing of clients, locks and files.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>

namespace store {

/// Lets a map be searched by a view.
struct TextHash {
    using is_transparent = void;  // NOLINT(readability-identifier-naming): the library asks for it
    std::size_t operator()(std::string_view text) const noexcept {
        return std::hash<std::string_view>{}(text);
    }
};
template <class T>
using TextMap = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

using List = std::deque<std::string>;
using Hash = TextMap<std::string>;

constexpr std::int64_t never = 0;

struct Value {
    std::variant<std::string, List, Hash> data;
    std::int64_t expires = never;  ///< milliseconds of the system's clock
};

/// Keys and values. What has expired is not there. Needs a lock.
class Database {
  public:
    /// The time from which all that follows is seen. Removes what has expired, and calls `removed`
    /// with each of these keys.
    template <class Removed>
    void set_time(std::int64_t milliseconds, Removed removed) {
        now_ = milliseconds;
        while (!expiries_.empty() && expiries_.begin()->first <= now_) {
            const std::string key = expiries_.begin()->second;
            erase(key);
            removed(std::string_view{key});
        }
    }
    std::int64_t time() const { return now_; }

    /// Null if it is not there.
    Value* find(std::string_view key) {
        const auto found = values_.find(key);
        return found == values_.end() ? nullptr : &found->second;
    }
    /// The value at a key, a new one if there is none.
    Value& operator[](std::string_view key) {
        const auto found = values_.find(key);
        return found != values_.end() ? found->second : values_[std::string{key}];
    }
    bool erase(std::string_view key);
    void set_expiry(std::string_view key, Value& value, std::int64_t expires);
    void clear();
    const TextMap<Value>& values() const { return values_; }

  private:
    TextMap<Value> values_;
    std::set<std::pair<std::int64_t, std::string>> expiries_;
    std::int64_t now_ = 0;
};

}  // namespace store
