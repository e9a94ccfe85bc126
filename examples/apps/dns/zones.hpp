// SPDX-License-Identifier: MIT
// Zones and what they answer, by the library ldns.
#pragma once

// Before ldns, which would make macros of bool, true and false.
#include <stdbool.h>  // NOLINT(modernize-deprecated-headers)

#include <ldns/ldns.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace dns {

template <auto release>
struct Release {
    template <class T>
    void operator()(T* object) const {
        release(object);
    }
};
using Packet = std::unique_ptr<ldns_pkt, Release<&ldns_pkt_free>>;
using Record = std::unique_ptr<ldns_rr, Release<&ldns_rr_free>>;
using Records = std::vector<Record>;

/// A name as it stands in a message, in small letters: a map finds what lies below it next to it.
using Name = std::string;

/// The data of one zone. Nothing of it changes after it was read.
class Zone {
  public:
    /// Reads a zone file (RFC 1035); without $ORIGIN its names are relative to `origin`.
    ///
    /// @throws std::runtime_error with the line that is wrong, or what is missing.
    Zone(const std::string& path, const std::string& origin);

    const Name& origin() const { return origin_; }
    /// Appends answer, authority and additional records, and sets the code and "authoritative".
    void answer(const Name& name, ldns_rr_type type, const ldns_rdf* asked, ldns_pkt* reply) const;
    /// Calls `each` with every record, the SOA record first and last: a transfer (RFC 5936).
    void transfer(const std::function<void(const ldns_rr*)>& each) const;

  private:
    using Node = std::map<ldns_rr_type, Records>;

    const Node* find(const Name& name) const;
    void push_soa(ldns_pkt* reply) const;
    void push_addresses(const Records& records, ldns_pkt* reply) const;

    Name origin_;
    std::map<Name, Node> nodes_;
    std::set<Name> names_;  ///< of the nodes, and of what only leads to one
};

/// All zones of a server.
class Zones {
  public:
    void add(Zone zone);
    /// The zone that a name belongs to; null if there is none.
    const Zone* zone_of(const Name& name) const;
    /// The zone of exactly this name.
    const Zone* find(const Name& origin) const;

  private:
    std::map<Name, Zone> zones_;
};

Name name_of(const ldns_rdf* name);

}  // namespace dns
