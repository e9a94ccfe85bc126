// SPDX-License-Identifier: MIT
#include "database.hpp"

namespace store {

bool Database::erase(std::string_view key) {
    const auto found = values_.find(key);
    if (found == values_.end()) return false;
    if (found->second.expires != never) expiries_.erase({found->second.expires, std::string{key}});
    values_.erase(found);
    return true;
}

void Database::set_expiry(std::string_view key, Value& value, std::int64_t expires) {
    if (value.expires == expires) return;
    if (value.expires != never) expiries_.erase({value.expires, std::string{key}});
    value.expires = expires;
    if (expires != never) expiries_.emplace(expires, key);
}

void Database::clear() {
    values_.clear();
    expiries_.clear();
}

}  // namespace store
