// SPDX-License-Identifier: MIT
#include "commands.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <vector>

namespace store {

namespace {

constexpr std::string_view not_an_integer = "ERR value is not an integer or out of range";
constexpr std::string_view wrong_type =
    "WRONGTYPE Operation against a key holding the wrong kind of value";
constexpr std::string_view syntax_error = "ERR syntax error";
constexpr std::int64_t latest = std::numeric_limits<std::int64_t>::max() / 2;

char upper(char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); }

/// The value at a key as a T. Null if there is none; an error is appended if it is another type.
template <class T>
T* find_as(Context& context, std::string_view key, bool& is_wrong) {
    Value* const value = context.database.find(key);
    if (value == nullptr) return nullptr;
    T* const data = std::get_if<T>(&value->data);
    is_wrong = data == nullptr;
    if (is_wrong) append_error(context.out, wrong_type);
    return data;
}

/// The same, and a new empty one if there is none. Null only after an error.
template <class T>
T* make_as(Context& context, std::string_view key) {
    bool is_wrong = false;
    if (T* const data = find_as<T>(context, key, is_wrong)) return data;
    if (is_wrong) return nullptr;
    return &context.database[key].data.emplace<T>();
}

template <class T>
void erase_if_empty(Context& context, std::string_view key, const T& data) {
    if (data.empty()) context.database.erase(key);
}

std::optional<std::int64_t> integer(Context& context, std::string_view text) {
    const auto value = parse_integer(text);
    if (!value) append_error(context.out, not_an_integer);
    return value;
}

// Keys.

void del(Context& context, Args args) {
    std::int64_t count = 0;
    for (const std::string_view key : args.subspan(1)) count += context.database.erase(key) ? 1 : 0;
    if (count > 0) context.changed(args);
    append_integer(context.out, count);
}

void exists(Context& context, Args args) {
    append_integer(context.out, std::count_if(args.begin() + 1, args.end(), [&](auto key) {
                       return context.database.find(key) != nullptr;
                   }));
}

void type(Context& context, Args args) {
    constexpr std::array<std::string_view, 3> names{"string", "list", "hash"};
    const Value* const value = context.database.find(args[1]);
    append_simple(context.out, value == nullptr ? "none" : names[value->data.index()]);
}

void keys(Context& context, Args args) {
    const std::string pattern{args[1]};
    std::vector<std::string_view> found;
    for (const auto& [key, value] : context.database.values()) {
        if (::fnmatch(pattern.c_str(), key.c_str(), 0) == 0) found.push_back(key);
    }
    append_array(context.out, found.size());
    for (const std::string_view key : found) append_bulk(context.out, key);
}

void dbsize(Context& context, Args) {
    append_integer(context.out, static_cast<std::int64_t>(context.database.values().size()));
}

void flushall(Context& context, Args args) {
    context.database.clear();
    context.changed(args.first(1));
    append_simple(context.out, "OK");
}

/// Expires a key at a time in milliseconds; a time that is over removes it.
void expire_at(Context& context, std::string_view key, std::int64_t at) {
    Value* const value = context.database.find(key);
    if (value == nullptr) return append_integer(context.out, 0);
    if (at <= context.database.time()) {
        context.database.erase(key);
        context.changed(std::array<std::string_view, 2>{"DEL", key});
    } else {
        context.database.set_expiry(key, *value, at);
        const std::string text = fmt::to_string(at);
        context.changed(std::array<std::string_view, 3>{"PEXPIREAT", key, text});
    }
    append_integer(context.out, 1);
}

/// The point in time that a number means; nothing after an error was appended.
std::optional<std::int64_t> time_of(Context& context, std::string_view text, std::int64_t unit,
                                    bool is_relative) {
    const auto number = integer(context, text);
    if (!number) return {};
    if (*number > latest / unit || *number < -latest / unit) {
        append_error(context.out, "ERR invalid expire time");
        return {};
    }
    return *number * unit + (is_relative ? context.database.time() : 0);
}

template <std::int64_t unit, bool is_relative>
void expire(Context& context, Args args) {
    if (const auto at = time_of(context, args[2], unit, is_relative)) {
        expire_at(context, args[1], *at);
    }
}

template <std::int64_t unit>
void ttl(Context& context, Args args) {
    const Value* const value = context.database.find(args[1]);
    if (value == nullptr) return append_integer(context.out, -2);
    if (value->expires == never) return append_integer(context.out, -1);
    append_integer(context.out, (value->expires - context.database.time() + unit / 2) / unit);
}

void persist(Context& context, Args args) {
    Value* const value = context.database.find(args[1]);
    if (value == nullptr || value->expires == never) return append_integer(context.out, 0);
    context.database.set_expiry(args[1], *value, never);
    context.changed(args);
    append_integer(context.out, 1);
}

// Strings.

void put(Context& context, std::string_view key, std::string_view text, std::int64_t expires) {
    Value& value = context.database[key];
    if (auto* const old = std::get_if<std::string>(&value.data)) {
        old->assign(text);
    } else {
        value.data = std::string{text};
    }
    context.database.set_expiry(key, value, expires);
    if (context.journal == nullptr) return;
    if (expires == never) {
        context.changed(std::array<std::string_view, 3>{"SET", key, text});
    } else {
        const std::string at = fmt::to_string(expires);
        context.changed(std::array<std::string_view, 5>{"SET", key, text, "PXAT", at});
    }
}

void get(Context& context, Args args) {
    bool is_wrong = false;
    if (const auto* const text = find_as<std::string>(context, args[1], is_wrong)) {
        append_bulk(context.out, *text);
    } else if (!is_wrong) {
        append_null(context.out);
    }
}

/// SET key value [NX|XX] [GET] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL]
void set(Context& context, Args args) {
    bool only_new = false, only_old = false, with_old = false, keeps = false;
    std::int64_t expires = never;
    for (std::size_t i = 3; i < args.size(); ++i) {
        const std::string_view option = args[i];
        if (is_command(option, "NX")) {
            only_new = true;
        } else if (is_command(option, "XX")) {
            only_old = true;
        } else if (is_command(option, "GET")) {
            with_old = true;
        } else if (is_command(option, "KEEPTTL")) {
            keeps = true;
        } else {
            const bool is_seconds = is_command(option, "EX") || is_command(option, "EXAT");
            const bool is_relative = is_command(option, "EX") || is_command(option, "PX");
            if ((!is_seconds && !is_relative && !is_command(option, "PXAT")) ||
                ++i == args.size() || expires != never) {
                return append_error(context.out, syntax_error);
            }
            const auto at = time_of(context, args[i], is_seconds ? 1000 : 1, is_relative);
            if (!at) return;
            if (*at <= (is_relative ? context.database.time() : 0)) {
                return append_error(context.out, "ERR invalid expire time in 'set' command");
            }
            expires = *at;
        }
    }
    if ((only_new && only_old) || (keeps && expires != never)) {
        return append_error(context.out, syntax_error);
    }
    const Value* const old = args.size() > 3 ? context.database.find(args[1]) : nullptr;
    if (with_old) {
        bool is_wrong = false;
        const auto* const text = find_as<std::string>(context, args[1], is_wrong);
        if (is_wrong) return;
        text == nullptr ? append_null(context.out) : append_bulk(context.out, *text);
    }
    if ((only_new && old != nullptr) || (only_old && old == nullptr)) {
        if (!with_old) append_null(context.out);
        return;
    }
    if (keeps && old != nullptr) expires = old->expires;
    if (expires != never && expires <= context.database.time()) {  // by PXAT or EXAT
        if (context.database.erase(args[1])) {
            context.changed(std::array<std::string_view, 2>{"DEL", args[1]});
        }
    } else {
        put(context, args[1], args[2], expires);
    }
    if (!with_old) append_simple(context.out, "OK");
}

void setnx(Context& context, Args args) {
    if (context.database.find(args[1]) != nullptr) return append_integer(context.out, 0);
    put(context, args[1], args[2], never);
    append_integer(context.out, 1);
}

template <std::int64_t unit>
void setex(Context& context, Args args) {
    const auto at = time_of(context, args[2], unit, true);
    if (!at) return;
    if (*at <= context.database.time()) {
        return append_error(context.out, "ERR invalid expire time");
    }
    put(context, args[1], args[3], *at);
    append_simple(context.out, "OK");
}

void getset(Context& context, Args args) {
    const std::size_t begin = context.out.size();
    get(context, args);
    if (context.out[begin] != '-') put(context, args[1], args[2], never);
}

void getdel(Context& context, Args args) {
    const std::size_t begin = context.out.size();
    get(context, args);
    if (context.out[begin] != '-' && context.database.erase(args[1])) {
        context.changed(std::array<std::string_view, 2>{"DEL", args[1]});
    }
}

void mget(Context& context, Args args) {
    append_array(context.out, args.size() - 1);
    for (const std::string_view key : args.subspan(1)) {
        const Value* const value = context.database.find(key);
        const auto* const text =
            value == nullptr ? nullptr : std::get_if<std::string>(&value->data);
        text == nullptr ? append_null(context.out) : append_bulk(context.out, *text);
    }
}

void mset(Context& context, Args args) {
    if (args.size() % 2 == 0) {
        return append_error(context.out, "ERR wrong number of arguments for 'mset' command");
    }
    for (std::size_t i = 1; i < args.size(); i += 2) put(context, args[i], args[i + 1], never);
    append_simple(context.out, "OK");
}

void append(Context& context, Args args) {
    auto* const text = make_as<std::string>(context, args[1]);
    if (text == nullptr) return;
    *text += args[2];
    context.changed(args);
    append_integer(context.out, static_cast<std::int64_t>(text->size()));
}

void strlen(Context& context, Args args) {
    bool is_wrong = false;
    const auto* const text = find_as<std::string>(context, args[1], is_wrong);
    if (!is_wrong) {
        append_integer(context.out, text == nullptr ? 0 : static_cast<std::int64_t>(text->size()));
    }
}

/// Adds to the decimal number in `text`. False after an error.
bool add(Context& context, std::string& text, std::int64_t amount) {
    const auto old = text.empty() ? 0 : parse_integer(text);
    std::int64_t sum = 0;
    if (!old) {
        append_error(context.out, not_an_integer);
        return false;
    }
    if (__builtin_add_overflow(*old, amount, &sum)) {
        append_error(context.out, "ERR increment or decrement would overflow");
        return false;
    }
    text = fmt::to_string(sum);
    append_integer(context.out, sum);
    return true;
}

void increase(Context& context, Args args, std::int64_t amount) {
    const bool is_new = context.database.find(args[1]) == nullptr;
    auto* const text = make_as<std::string>(context, args[1]);
    if (text == nullptr) return;
    if (add(context, *text, amount)) return context.changed(args);
    if (is_new) context.database.erase(args[1]);
}

template <int sign>
void incr(Context& context, Args args) {
    increase(context, args, sign);
}

template <int sign>
void incrby(Context& context, Args args) {
    const auto amount = integer(context, args[2]);
    if (!amount) return;
    if (sign < 0 && *amount == std::numeric_limits<std::int64_t>::min()) {
        return append_error(context.out, "ERR decrement would overflow");
    }
    increase(context, args, sign * *amount);
}

// Lists.

template <bool at_front>
void push(Context& context, Args args) {
    auto* const list = make_as<List>(context, args[1]);
    if (list == nullptr) return;
    for (const std::string_view each : args.subspan(2)) {
        at_front ? list->emplace_front(each) : list->emplace_back(each);
    }
    context.changed(args);
    append_integer(context.out, static_cast<std::int64_t>(list->size()));
}

template <bool at_front>
void pop(Context& context, Args args) {
    std::int64_t count = 1;
    if (args.size() > 2) {
        const auto wanted = integer(context, args[2]);
        if (!wanted) return;
        if (*wanted < 0) return append_error(context.out, "ERR value is out of range");
        count = *wanted;
    }
    bool is_wrong = false;
    auto* const list = find_as<List>(context, args[1], is_wrong);
    if (is_wrong) return;
    if (list == nullptr) {
        return args.size() > 2 ? context.out.append("*-1\r\n"), void() : append_null(context.out);
    }
    const auto taken = std::min<std::size_t>(static_cast<std::size_t>(count), list->size());
    if (args.size() > 2) append_array(context.out, taken);
    for (std::size_t i = 0; i < taken; ++i) {
        append_bulk(context.out, at_front ? list->front() : list->back());
        at_front ? list->pop_front() : list->pop_back();
    }
    if (taken > 0) context.changed(args);
    erase_if_empty(context, args[1], *list);
}

void llen(Context& context, Args args) {
    bool is_wrong = false;
    const auto* const list = find_as<List>(context, args[1], is_wrong);
    if (!is_wrong) {
        append_integer(context.out, list == nullptr ? 0 : static_cast<std::int64_t>(list->size()));
    }
}

void lrange(Context& context, Args args) {
    const auto first = integer(context, args[2]);
    if (!first) return;
    const auto last = integer(context, args[3]);
    if (!last) return;
    bool is_wrong = false;
    const auto* const list = find_as<List>(context, args[1], is_wrong);
    if (is_wrong) return;
    const std::int64_t size = list == nullptr ? 0 : static_cast<std::int64_t>(list->size());
    const auto from = std::max<std::int64_t>(*first < 0 ? *first + size : *first, 0);
    const auto to = std::min(*last < 0 ? *last + size : *last, size - 1);
    if (from > to) return append_array(context.out, 0);
    append_array(context.out, static_cast<std::size_t>(to - from + 1));
    for (auto i = from; i <= to; ++i)
        append_bulk(context.out, (*list)[static_cast<std::size_t>(i)]);
}

void lindex(Context& context, Args args) {
    const auto index = integer(context, args[2]);
    if (!index) return;
    bool is_wrong = false;
    const auto* const list = find_as<List>(context, args[1], is_wrong);
    if (is_wrong) return;
    const std::int64_t size = list == nullptr ? 0 : static_cast<std::int64_t>(list->size());
    const std::int64_t at = *index < 0 ? *index + size : *index;
    if (at < 0 || at >= size) return append_null(context.out);
    append_bulk(context.out, (*list)[static_cast<std::size_t>(at)]);
}

// Hashes.

void hset(Context& context, Args args) {
    if (args.size() % 2 != 0) {
        return append_error(context.out, "ERR wrong number of arguments for 'hset' command");
    }
    auto* const hash = make_as<Hash>(context, args[1]);
    if (hash == nullptr) return;
    std::int64_t added = 0;
    for (std::size_t i = 2; i < args.size(); i += 2) {
        if (const auto found = hash->find(args[i]); found != hash->end()) {
            found->second.assign(args[i + 1]);
        } else {
            hash->emplace(args[i], args[i + 1]);
            ++added;
        }
    }
    context.changed(args);
    is_command(args[0], "HMSET") ? append_simple(context.out, "OK")
                                 : append_integer(context.out, added);
}

void hget(Context& context, Args args) {
    bool is_wrong = false;
    const auto* const hash = find_as<Hash>(context, args[1], is_wrong);
    if (is_wrong) return;
    if (hash == nullptr) return append_null(context.out);
    const auto found = hash->find(args[2]);
    found == hash->end() ? append_null(context.out) : append_bulk(context.out, found->second);
}

void hmget(Context& context, Args args) {
    bool is_wrong = false;
    const auto* const hash = find_as<Hash>(context, args[1], is_wrong);
    if (is_wrong) return;
    append_array(context.out, args.size() - 2);
    for (const std::string_view field : args.subspan(2)) {
        const auto found = hash == nullptr ? Hash::const_iterator{} : hash->find(field);
        hash == nullptr || found == hash->end() ? append_null(context.out)
                                                : append_bulk(context.out, found->second);
    }
}

void hdel(Context& context, Args args) {
    bool is_wrong = false;
    auto* const hash = find_as<Hash>(context, args[1], is_wrong);
    if (is_wrong) return;
    std::int64_t count = 0;
    if (hash != nullptr) {
        for (const std::string_view field : args.subspan(2)) {
            if (const auto found = hash->find(field); found != hash->end()) {
                hash->erase(found);
                ++count;
            }
        }
        if (count > 0) context.changed(args);
        erase_if_empty(context, args[1], *hash);
    }
    append_integer(context.out, count);
}

template <bool with_fields, bool with_values>
void hgetall(Context& context, Args args) {
    bool is_wrong = false;
    const auto* const hash = find_as<Hash>(context, args[1], is_wrong);
    if (is_wrong) return;
    if (hash == nullptr) return append_array(context.out, 0);
    append_array(context.out, hash->size() * (with_fields && with_values ? 2 : 1));
    for (const auto& [field, value] : *hash) {
        if (with_fields) append_bulk(context.out, field);
        if (with_values) append_bulk(context.out, value);
    }
}

void hlen(Context& context, Args args) {
    bool is_wrong = false;
    const auto* const hash = find_as<Hash>(context, args[1], is_wrong);
    if (!is_wrong) {
        append_integer(context.out, hash == nullptr ? 0 : static_cast<std::int64_t>(hash->size()));
    }
}

void hexists(Context& context, Args args) {
    bool is_wrong = false;
    const auto* const hash = find_as<Hash>(context, args[1], is_wrong);
    if (!is_wrong) append_integer(context.out, hash != nullptr && hash->contains(args[2]) ? 1 : 0);
}

void hincrby(Context& context, Args args) {
    const auto amount = integer(context, args[3]);
    if (!amount) return;
    auto* const hash = make_as<Hash>(context, args[1]);
    if (hash == nullptr) return;
    const auto field = hash->find(args[2]);
    std::string text = field == hash->end() ? std::string{} : field->second;
    if (add(context, text, *amount)) {
        field == hash->end() ? void(hash->emplace(args[2], text)) : void(field->second = text);
        context.changed(args);
    }
    erase_if_empty(context, args[1], *hash);
}

// What clients ask when they connect.

void ping(Context& context, Args args) {
    args.size() > 1 ? append_bulk(context.out, args[1]) : append_simple(context.out, "PONG");
}
void echo(Context& context, Args args) { append_bulk(context.out, args[1]); }
void select(Context& context, Args args) {
    args[1] == "0" ? append_simple(context.out, "OK")
                   : append_error(context.out, "ERR DB index is out of range");
}
void ok(Context& context, Args) { append_simple(context.out, "OK"); }
void nothing(Context& context, Args) { append_array(context.out, 0); }
void info(Context& context, Args) {
    append_bulk(context.out, fmt::format("# Server\r\nredis_version:7.0.0\r\nserver_name:store\r\n"
                                         "# Keyspace\r\ndb0:keys={}\r\n",
                                         context.database.values().size()));
}

constexpr Command commands[] = {
    {"APPEND", 3, append},
    {"CLIENT", -2, ok},
    {"COMMAND", -1, nothing},
    {"CONFIG", -2, nothing},
    {"DBSIZE", 1, dbsize},
    {"DECR", 2, incr<-1>},
    {"DECRBY", 3, incrby<-1>},
    {"DEL", -2, del},
    {"ECHO", 2, echo},
    {"EXISTS", -2, exists},
    {"EXPIRE", 3, expire<1000, true>},
    {"EXPIREAT", 3, expire<1000, false>},
    {"FLUSHALL", -1, flushall},
    {"FLUSHDB", -1, flushall},
    {"GET", 2, get},
    {"GETDEL", 2, getdel},
    {"GETSET", 3, getset},
    {"HDEL", -3, hdel},
    {"HEXISTS", 3, hexists},
    {"HGET", 3, hget},
    {"HGETALL", 2, hgetall<true, true>},
    {"HINCRBY", 4, hincrby},
    {"HKEYS", 2, hgetall<true, false>},
    {"HLEN", 2, hlen},
    {"HMGET", -3, hmget},
    {"HMSET", -4, hset},
    {"HSET", -4, hset},
    {"HVALS", 2, hgetall<false, true>},
    {"INCR", 2, incr<1>},
    {"INCRBY", 3, incrby<1>},
    {"INFO", -1, info},
    {"KEYS", 2, keys},
    {"LINDEX", 3, lindex},
    {"LLEN", 2, llen},
    {"LPOP", -2, pop<true>},
    {"LPUSH", -3, push<true>},
    {"LRANGE", 4, lrange},
    {"MGET", -2, mget},
    {"MSET", -3, mset},
    {"PERSIST", 2, persist},
    {"PEXPIRE", 3, expire<1, true>},
    {"PEXPIREAT", 3, expire<1, false>},
    {"PING", -1, ping},
    {"PSETEX", 4, setex<1>},
    {"PTTL", 2, ttl<1>},
    {"RPOP", -2, pop<false>},
    {"RPUSH", -3, push<false>},
    {"SELECT", 2, select},
    {"SET", -3, set},
    {"SETEX", 4, setex<1000>},
    {"SETNX", 3, setnx},
    {"STRLEN", 2, strlen},
    {"TTL", 2, ttl<1000>},
    {"TYPE", 2, type},
    {"UNLINK", -2, del},
};
constexpr std::size_t longest_name = 16;

}  // namespace

bool is_command(std::string_view name, std::string_view capitals) {
    return std::equal(name.begin(), name.end(), capitals.begin(), capitals.end(),
                      [](char a, char b) { return a == b || upper(a) == b; });
}

const Command* find_command(std::string_view name) {
    static const auto* const by_name = [] {
        auto* const map = new std::unordered_map<std::string_view, const Command*>;
        for (const Command& each : commands) map->emplace(each.name, &each);
        return map;
    }();
    if (name.size() > longest_name) return nullptr;
    std::array<char, longest_name> capitals{};
    std::transform(name.begin(), name.end(), capitals.begin(), upper);
    const auto found = by_name->find({capitals.data(), name.size()});
    return found == by_name->end() ? nullptr : found->second;
}

bool has_arity(const Command& command, Args args) {
    const int count = static_cast<int>(args.size());
    return command.arity >= 0 ? count == command.arity : count >= -command.arity;
}

void run_command(Context& context, Args args) {
    const Command* const command = find_command(args[0]);
    if (command == nullptr) {
        std::string name{args[0].substr(0, 128)};
        for (char& c : name) c = std::iscntrl(static_cast<unsigned char>(c)) != 0 ? ' ' : c;
        return append_error(context.out, fmt::format("ERR unknown command '{}'", name));
    }
    if (!has_arity(*command, args)) {
        std::string name{command->name};
        std::transform(name.begin(), name.end(), name.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        return append_error(context.out,
                            fmt::format("ERR wrong number of arguments for '{}' command", name));
    }
    command->run(context, args);
}

}  // namespace store
