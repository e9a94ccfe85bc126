// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdlib>
#include <memory>

#include "handler.hpp"

namespace dns {

namespace {

/// What fits through every network without fragments: the DNS flag day of 2020.
constexpr std::size_t most_of_datagram = 1232;
constexpr std::size_t without_edns = 512;
constexpr std::size_t header_size = 12;
/// The messages of a transfer are about so large.
constexpr std::size_t transfer_message = std::size_t{16} * 1024;

std::string wire_of(const ldns_pkt* packet) {
    std::uint8_t* data = nullptr;
    std::size_t size = 0;
    if (ldns_pkt2wire(&data, packet, &size) != LDNS_STATUS_OK) return {};
    const std::unique_ptr<std::uint8_t, Release<&std::free>> owned{data};
    return {reinterpret_cast<const char*>(data), size};
}

Packet reply_to(const ldns_pkt* query) {
    Packet reply{ldns_pkt_new()};
    ldns_pkt_set_id(reply.get(), ldns_pkt_id(query));
    ldns_pkt_set_qr(reply.get(), true);
    ldns_pkt_set_opcode(reply.get(), ldns_pkt_get_opcode(query));
    ldns_pkt_set_rd(reply.get(), ldns_pkt_rd(query));
    const ldns_rr_list* const questions = ldns_pkt_question(query);
    for (std::size_t i = 0; i < ldns_rr_list_rr_count(questions); ++i) {
        ldns_pkt_push_rr(reply.get(), LDNS_SECTION_QUESTION,
                         ldns_rr_clone(ldns_rr_list_rr(questions, i)));
    }
    if (ldns_pkt_edns(query)) ldns_pkt_set_edns_udp_size(reply.get(), most_of_datagram);
    return reply;
}

/// The reply as bytes, cut to what the client takes.
std::string fitted(const ldns_pkt* query, ldns_pkt* reply, std::size_t most) {
    std::string wire = wire_of(reply);
    if (wire.size() <= most) return wire;
    Packet shorter = reply_to(query);
    ldns_pkt_set_aa(shorter.get(), ldns_pkt_aa(reply));
    ldns_pkt_set_rcode(shorter.get(), ldns_pkt_get_rcode(reply));
    // Additional records may be missing without a word; anything else is left out as a whole.
    for (const auto section : {LDNS_SECTION_ANSWER, LDNS_SECTION_AUTHORITY}) {
        ldns_rr_list* const records = ldns_pkt_get_section_clone(reply, section);
        ldns_pkt_push_rr_list(shorter.get(), section, records);
        ldns_rr_list_free(records);
    }
    wire = wire_of(shorter.get());
    if (wire.size() <= most) return wire;
    shorter = reply_to(query);
    ldns_pkt_set_tc(shorter.get(), true);
    ldns_pkt_set_aa(shorter.get(), ldns_pkt_aa(reply));
    ldns_pkt_set_rcode(shorter.get(), ldns_pkt_get_rcode(reply));
    return wire_of(shorter.get());
}

bool may_transfer(const Site& site, const ss::Address& client) {
    return std::any_of(site.transfer_to.begin(), site.transfer_to.end(),
                       [&](const std::string& network) { return client.in_network(network); });
}

void transfer(const Zone& zone, const ldns_pkt* query,
              const std::function<void(std::string_view)>& send) {
    Packet part = reply_to(query);
    std::size_t size = 0;
    const auto send_part = [&] {
        ldns_pkt_set_aa(part.get(), true);
        send(wire_of(part.get()));
    };
    zone.transfer([&](const ldns_rr* record) {
        const std::size_t next = ldns_rr_uncompressed_size(record);
        if (size > 0 && size + next > transfer_message) {
            send_part();
            part = reply_to(query);
            size = 0;
        }
        ldns_pkt_push_rr(part.get(), LDNS_SECTION_ANSWER, ldns_rr_clone(record));
        size += next;
    });
    send_part();
}

}  // namespace

void answer(const Site& site, const ss::Address& client, std::string_view query_text,
            bool is_stream, const std::function<void(std::string_view)>& send) {
    constexpr unsigned char is_reply = 0x80;
    if (query_text.size() < header_size ||
        (static_cast<unsigned char>(query_text[2]) & is_reply) != 0) {
        return;  // two servers would answer each other for ever
    }
    ldns_pkt* parsed = nullptr;
    const auto* const bytes = reinterpret_cast<const std::uint8_t*>(query_text.data());
    const ldns_status status = ldns_wire2pkt(&parsed, bytes, query_text.size());
    const Packet query{parsed};
    if (status != LDNS_STATUS_OK) {
        // Only the header, of which the identification and the operation are those of the query.
        std::string failed{query_text.substr(0, header_size)};
        failed[2] = static_cast<char>((static_cast<unsigned char>(failed[2]) & 0x79U) | is_reply);
        failed[3] = LDNS_RCODE_FORMERR;
        std::fill(failed.begin() + 4, failed.end(), '\0');
        return send(failed);
    }
    std::size_t most = is_stream ? 65535 : without_edns;
    if (!is_stream && ldns_pkt_edns(query.get())) {
        most = std::clamp<std::size_t>(ldns_pkt_edns_udp_size(query.get()), without_edns,
                                       most_of_datagram);
    }
    const Packet reply = reply_to(query.get());
    const auto refuse = [&](ldns_pkt_rcode code) {
        ldns_pkt_set_rcode(reply.get(), code);
        send(fitted(query.get(), reply.get(), most));
    };
    if (ldns_pkt_get_opcode(query.get()) != LDNS_PACKET_QUERY) return refuse(LDNS_RCODE_NOTIMPL);
    if (ldns_pkt_qdcount(query.get()) != 1) return refuse(LDNS_RCODE_FORMERR);
    if (ldns_pkt_edns(query.get()) && ldns_pkt_edns_version(query.get()) != 0) {
        ldns_pkt_set_edns_extended_rcode(reply.get(), 1);  // BADVERS
        return refuse(LDNS_RCODE_NOERROR);
    }
    const ldns_rr* const question = ldns_rr_list_rr(ldns_pkt_question(query.get()), 0);
    const ldns_rr_class asked_class = ldns_rr_get_class(question);
    if (asked_class != LDNS_RR_CLASS_IN && asked_class != LDNS_RR_CLASS_ANY) {
        return refuse(LDNS_RCODE_REFUSED);
    }
    const ldns_rr_type type = ldns_rr_get_type(question);
    const Name name = name_of(ldns_rr_owner(question));
    if (type == LDNS_RR_TYPE_AXFR) {
        const Zone* const zone = site.zones.find(name);
        if (!is_stream) return refuse(LDNS_RCODE_FORMERR);
        if (!may_transfer(site, client)) return refuse(LDNS_RCODE_REFUSED);
        if (zone == nullptr) return refuse(LDNS_RCODE_NOTAUTH);
        return transfer(*zone, query.get(), send);
    }
    const Zone* const zone = site.zones.zone_of(name);
    if (zone == nullptr) return refuse(LDNS_RCODE_REFUSED);
    zone->answer(name, type, ldns_rr_owner(question), reply.get());
    send(fitted(query.get(), reply.get(), most));
}

}  // namespace dns
