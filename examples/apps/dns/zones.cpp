// SPDX-License-Identifier: MIT
#include "zones.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace dns {

namespace {

using Rdf = std::unique_ptr<ldns_rdf, Release<&ldns_rdf_deep_free>>;

/// The name without its first label; empty: it is the root.
Name parent_of(const Name& name) {
    const auto label = static_cast<unsigned char>(name.front());
    return label == 0 ? Name{} : name.substr(label + 1U);
}

/// Whether a name is `origin` or below it.
bool is_within(Name name, const Name& origin) {
    while (name.size() > origin.size()) name = parent_of(name);
    return name == origin;
}

void push(ldns_pkt* reply, ldns_pkt_section section, const Records& records,
          const ldns_rdf* owner = nullptr) {
    for (const Record& each : records) {
        ldns_rr* const copy = ldns_rr_clone(each.get());
        if (owner != nullptr) {  // what a wildcard stands for
            ldns_rdf_deep_free(ldns_rr_owner(copy));
            ldns_rr_set_owner(copy, ldns_rdf_clone(owner));
        }
        ldns_pkt_push_rr(reply, section, copy);
    }
}

/// The name in the data of a record that leads to addresses; null if there is none.
const ldns_rdf* target_of(const ldns_rr* record) {
    switch (ldns_rr_get_type(record)) {
        case LDNS_RR_TYPE_NS:
            return ldns_rr_rdf(record, 0);
        case LDNS_RR_TYPE_MX:
            return ldns_rr_rdf(record, 1);
        case LDNS_RR_TYPE_SRV:
            return ldns_rr_rdf(record, 3);
        default:
            return nullptr;
    }
}

}  // namespace

Name name_of(const ldns_rdf* name) {
    Rdf canonical{ldns_rdf_clone(name)};
    ldns_dname2canonical(canonical.get());
    return {reinterpret_cast<const char*>(ldns_rdf_data(canonical.get())),
            ldns_rdf_size(canonical.get())};
}

Zone::Zone(const std::string& path, const std::string& origin) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::fopen(path.c_str(), "r"),
                                                               std::fclose};
    if (!file) throw std::system_error{errno, std::generic_category(), path};
    const Rdf base{ldns_dname_new_frm_str(origin.c_str())};
    if (!base) throw std::runtime_error{origin + " is no name"};
    ldns_zone* read = nullptr;
    int line = 0;
    const ldns_status status =
        ldns_zone_new_frm_fp_l(&read, file.get(), base.get(), 3600, LDNS_RR_CLASS_IN, &line);
    const std::unique_ptr<ldns_zone, Release<&ldns_zone_deep_free>> zone{read};
    if (status != LDNS_STATUS_OK) {
        throw std::runtime_error{
            fmt::format("{}:{}: {}", path, line, ldns_get_errorstr_by_id(status))};
    }
    const ldns_rr* const soa = ldns_zone_soa(zone.get());
    if (soa == nullptr) throw std::runtime_error{path + " has no SOA record"};
    origin_ = name_of(ldns_rr_owner(soa));
    const auto add = [&](const ldns_rr* record) {
        const Name name = name_of(ldns_rr_owner(record));
        if (!is_within(name, origin_)) {
            throw std::runtime_error{path + " has a name outside of its zone"};
        }
        for (Name each = name; each.size() >= origin_.size(); each = parent_of(each)) {
            if (!names_.insert(each).second || each == origin_) break;
        }
        nodes_[name][ldns_rr_get_type(record)].emplace_back(ldns_rr_clone(record));
    };
    add(soa);
    const ldns_rr_list* const records = ldns_zone_rrs(zone.get());
    for (std::size_t i = 0; i < ldns_rr_list_rr_count(records); ++i) {
        add(ldns_rr_list_rr(records, i));
    }
    if (!find(origin_)->contains(LDNS_RR_TYPE_NS)) {
        throw std::runtime_error{path + " has no NS record of its own"};
    }
}

const Zone::Node* Zone::find(const Name& name) const {
    const auto found = nodes_.find(name);
    return found == nodes_.end() ? nullptr : &found->second;
}

void Zone::push_soa(ldns_pkt* reply) const {
    push(reply, LDNS_SECTION_AUTHORITY, find(origin_)->at(LDNS_RR_TYPE_SOA));
}

void Zone::push_addresses(const Records& records, ldns_pkt* reply) const {
    for (const Record& each : records) {
        const ldns_rdf* const target = target_of(each.get());
        const Node* const node = target == nullptr ? nullptr : find(name_of(target));
        if (node == nullptr) continue;
        for (const ldns_rr_type type : {LDNS_RR_TYPE_A, LDNS_RR_TYPE_AAAA}) {
            if (const auto found = node->find(type); found != node->end()) {
                push(reply, LDNS_SECTION_ADDITIONAL, found->second);
            }
        }
    }
}

// [answer]
/// RFC 1034, 4.3.2, without what a resolver would do.
void Zone::answer(const Name& asked_name, ldns_rr_type type, const ldns_rdf* asked,
                  ldns_pkt* reply) const {
    Name name = asked_name;
    ldns_pkt_set_aa(reply, true);
    for (int aliases = 0; aliases < 8; ++aliases) {
        // A part of the zone that others serve.
        std::vector<Name> above;  // below the origin, the nearest to it last
        for (Name each = name; each.size() > origin_.size(); each = parent_of(each)) {
            above.push_back(each);
        }
        for (auto each = above.rbegin(); each != above.rend(); ++each) {
            const Node* const cut = find(*each);
            if (cut == nullptr || !cut->contains(LDNS_RR_TYPE_NS)) continue;
            if (*each == name && type == LDNS_RR_TYPE_DS) break;  // stands on this side
            if (aliases == 0) ldns_pkt_set_aa(reply, false);
            push(reply, LDNS_SECTION_AUTHORITY, cut->at(LDNS_RR_TYPE_NS));
            return push_addresses(cut->at(LDNS_RR_TYPE_NS), reply);
        }

        const Node* node = find(name);
        const ldns_rdf* owner = nullptr;
        if (node == nullptr && !names_.contains(name)) {
            Name encloser = parent_of(name);
            while (!names_.contains(encloser)) encloser = parent_of(encloser);
            node = find("\1*" + encloser);
            if (node == nullptr) {
                // After an alias too: the name that it leads to is not there.
                ldns_pkt_set_rcode(reply, LDNS_RCODE_NXDOMAIN);
                return push_soa(reply);
            }
            // The name that was asked for, or where an alias led to: the last in the answer.
            const ldns_rr_list* const so_far = ldns_pkt_answer(reply);
            const std::size_t count = ldns_rr_list_rr_count(so_far);
            owner = count == 0 ? asked : ldns_rr_rdf(ldns_rr_list_rr(so_far, count - 1), 0);
        }
        if (node == nullptr) return push_soa(reply);  // only names below it are there
        if (type == LDNS_RR_TYPE_ANY) {
            for (const auto& [each, records] : *node) {
                push(reply, LDNS_SECTION_ANSWER, records, owner);
            }
            return;
        }
        if (const auto found = node->find(type); found != node->end()) {
            push(reply, LDNS_SECTION_ANSWER, found->second, owner);
            return push_addresses(found->second, reply);
        }
        const auto alias = node->find(LDNS_RR_TYPE_CNAME);
        if (alias == node->end()) return push_soa(reply);
        push(reply, LDNS_SECTION_ANSWER, alias->second, owner);
        name = name_of(ldns_rr_rdf(alias->second.front().get(), 0));
        if (!is_within(name, origin_)) return;
    }
}
// [answer]

void Zone::transfer(const std::function<void(const ldns_rr*)>& each) const {
    const ldns_rr* const soa = find(origin_)->at(LDNS_RR_TYPE_SOA).front().get();
    each(soa);
    for (const auto& [name, node] : nodes_) {
        for (const auto& [type, records] : node) {
            if (type == LDNS_RR_TYPE_SOA) continue;
            for (const Record& record : records) each(record.get());
        }
    }
    each(soa);
}

void Zones::add(Zone zone) {
    Name origin = zone.origin();
    if (!zones_.emplace(std::move(origin), std::move(zone)).second) {
        throw std::runtime_error{"a zone is given twice"};
    }
}

const Zone* Zones::find(const Name& origin) const {
    const auto found = zones_.find(origin);
    return found == zones_.end() ? nullptr : &found->second;
}

const Zone* Zones::zone_of(const Name& name) const {
    for (Name each = name; !each.empty(); each = parent_of(each)) {
        if (const Zone* const zone = find(each)) return zone;
    }
    return nullptr;
}

}  // namespace dns
