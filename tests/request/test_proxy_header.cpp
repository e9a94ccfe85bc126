// SPDX-License-Identifier: MIT
// The headers of the PROXY protocol as bytes.
#include "socketserver/proxy_protocol.hpp"

#include <array>
#include <string>
#include <vector>

#include "socketserver/errors.hpp"
#include "socketserver/integers.hpp"
#include "support/catch.hpp"
#include "support/proxy_headers.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;

using Failure = ProxyHeaderFailure;

/// What parse_proxy_header() throws; nothing if it does not.
std::optional<Failure> failure_of(std::string_view data) {
    try {
        static_cast<void>(parse_proxy_header(data));
    } catch (const ProxyHeaderError& error) {
        return error.reason();
    }
    return {};
}

std::string unix_name(std::string name) {
    name.resize(108);
    return name;
}

TEST_CASE("headers that are valid, with the payload behind them left alone") {
    struct Case {
        std::string header;
        Address source;
        Address destination;
    };
    const std::string ipv6 = "\x20\x01\x0d\xb8" + std::string(11, '\0') + "\x07";
    const std::vector<Case> cases{
        {"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
         {"192.0.2.7", 56324},
         {"198.51.100.1", 443}},
        {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
         {"255.255.255.255", 65535},
         {"255.255.255.255", 65535}},
        {"PROXY TCP4 1.1.1.1 2.2.2.2 0 0\r\n", {"1.1.1.1", 0}, {"2.2.2.2", 0}},
        {"PROXY TCP6 2001:db8::7 ::1 1 2\r\n", {"2001:db8::7", 1}, {"::1", 2}},
        {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "65535 65535\r\n",
         {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535},
         {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535}},
        {"PROXY UNKNOWN\r\n", {}, {}},
        {"PROXY UNKNOWN what follows means nothing\r\n", {}, {}},
        {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "65535 65535\r\n",
         {},
         {}},
        {proxy_v2(0x21, 0x11, std::string{"\xc0\0\2\7\xc6\x33\x64\1\xdc\4\1\xbb", 12}),
         {"192.0.2.7", 56324},
         {"198.51.100.1", 443}},
        {proxy_v2(0x21, 0x12, std::string{"\xc0\0\2\7\xc6\x33\x64\1\xdc\4\1\xbb", 12}),
         {"192.0.2.7", 56324},
         {"198.51.100.1", 443}},
        {proxy_v2(0x21, 0x21, ipv6 + ipv6 + std::string{"\0\1\0\2", 4}),
         {"2001:db8::7", 1},
         {"2001:db8::7", 2}},
        {proxy_v2(0x21, 0x31, unix_name("/run/client") + unix_name("/run/server")), "/run/client",
         "/run/server"},
        {proxy_v2(0x21, 0x31, unix_name({"\0abstract", 9}) + unix_name({})), "@abstract", {}},
        {proxy_v2(0x21, 0x00, ""), {}, {}},
        {proxy_v2(0x21, 0x10, std::string(12, 'x')), {}, {}},
        {proxy_v2(0x20, 0x00, ""), {}, {}},
        // The addresses of LOCAL mean nothing, whatever they are.
        {proxy_v2(0x20, 0x11, std::string(12, 'x')), {}, {}},
        {proxy_v2(0x20, 0xff, "whatever"), {}, {}},
        {proxy_v2(0x20, 0x21, "too short"), {}, {}},
    };
    for (const Case& each : cases) {
        CAPTURE(each.header);
        for (const std::string payload : {"", "G", "PROXY UNKNOWN\r\n", "\r\n\r\n"}) {
            const auto parsed = parse_proxy_header(each.header + payload);
            REQUIRE(parsed);
            CHECK(parsed->second == each.header.size());
            CHECK(parsed->first.source == each.source);
            CHECK(parsed->first.destination == each.destination);
            CHECK(parsed->first.version == (each.header.front() == 'P' ? 1 : 2));
            CHECK(parsed->first.proxy.empty());
        }
        // Byte by byte: more is needed until the last one is there.
        for (std::size_t size = 0; size < each.header.size(); ++size) {
            CHECK_FALSE(parse_proxy_header(std::string_view{each.header}.substr(0, size)));
        }
    }
    CHECK(parse_proxy_header(proxy_v2(0x20, 0, ""))->first.is_local);
    CHECK_FALSE(parse_proxy_header(proxy_v2(0x21, 0, ""))->first.is_local);
}

TEST_CASE("headers that are not valid") {
    struct Case {
        std::string data;
        Failure failure;
    };
    const std::string inet(12, '\1');
    const std::vector<Case> cases{
        {"GET / HTTP/1.1\r\n", Failure::not_a_header},
        {"p", Failure::not_a_header},
        {"PROXZ", Failure::not_a_header},
        {"PROXY\r\n", Failure::not_a_header},
        {std::string{"\0", 1}, Failure::not_a_header},
        {"\r\n\r\nX", Failure::not_a_header},
        {"\x16\x03\x01", Failure::not_a_header},

        {"PROXY \r\n", Failure::malformed},
        {"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", Failure::malformed},
        {"PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n", Failure::malformed},
        {"PROXY UNKNOWNS\r\n", Failure::malformed},
        {"PROXY TCP4\r\n", Failure::malformed},
        {"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", Failure::malformed},
        {"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", Failure::malformed},
        {"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", Failure::malformed},
        {"PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n", Failure::malformed},
        {"PROXY  TCP4 1.1.1.1 2.2.2.2 1 2\r\n", Failure::malformed},
        {"PROXY TCP4 1.1.1.1\t2.2.2.2 1 2\r\n", Failure::malformed},
        {"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", Failure::malformed},
        {"PROXY TCP4 1.1.1.1 2.2.2.2 -1 2\r\n", Failure::malformed},
        {"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", Failure::malformed},
        {"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", Failure::malformed},
        {"PROXY TCP4 1.1.1.1 2.2.2.2 0x1 2\r\n", Failure::malformed},
        {"PROXY TCP4 1.1.1.1 2.2.2.2 1 \r\n", Failure::malformed},
        {"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n", Failure::malformed},
        {"PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n", Failure::malformed},
        {"PROXY TCP4 localhost 2.2.2.2 1 2\r\n", Failure::malformed},
        {"PROXY TCP4 ::1 ::1 1 2\r\n", Failure::malformed},
        {"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", Failure::malformed},
        {"PROXY TCP6 fe80::1%lo ::1 1 2\r\n", Failure::malformed},
        {std::string{"PROXY TCP4 1.1.1.1\0 2.2.2.2 1 2\r\n", 33}, Failure::malformed},
        {"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", Failure::malformed},
        {"PROXY UNKNOWN\n", Failure::malformed},
        {"PROXY UNKNOWN \n\r\n", Failure::malformed},
        {"PROXY UNKNOWN" + std::string(longest_proxy_line - 14, ' ') + "\r\n", Failure::too_long},
        {"PROXY TCP4" + std::string(200, ' '), Failure::too_long},

        {proxy_v2(0x11, 0x11, inet), Failure::malformed},
        {proxy_v2(0x31, 0x11, inet), Failure::malformed},
        {proxy_v2(0x22, 0x11, inet), Failure::malformed},
        {proxy_v2(0x21, 0x41, inet), Failure::malformed},
        {proxy_v2(0x21, 0x13, inet), Failure::malformed},
        {proxy_v2(0x21, 0x11, inet.substr(1)), Failure::malformed},
        {proxy_v2(0x21, 0x21, inet), Failure::malformed},
        {proxy_v2(0x21, 0x31, inet), Failure::malformed},
        {proxy_v2(0x21, 0x31, std::string(216, 'x')), Failure::malformed},
        {proxy_v2(0x21, 0x31, unix_name("@x") + unix_name({})), Failure::malformed},
        {proxy_v2(0x21, 0x31, unix_name({"\0x\0y", 4}) + unix_name({})), Failure::malformed},
        {proxy_v2(0x21, 0x11, inet + "\1"), Failure::malformed},
        {proxy_v2(0x21, 0x11, inet + std::string{"\1\0", 2}), Failure::malformed},
        {proxy_v2(0x21, 0x11, inet + std::string{"\1\0\3h2", 5}), Failure::malformed},
        {proxy_v2(0x21, 0x11, inet + tlv(0x03, "123")), Failure::malformed},
        {proxy_v2(0x21, 0x11, inet + tlv(0x03, "1234")), Failure::malformed},
        {proxy_v2(0x21, 0x11, std::string(longest_proxy_header - 15, 'x')).substr(0, 16),
         Failure::too_long},
    };
    for (const Case& each : cases) {
        CAPTURE(each.data);
        CHECK(failure_of(each.data) == each.failure);
        CHECK(failure_of(each.data + "payload") == each.failure);
    }
    const std::string text = ProxyHeaderError{Failure::malformed, "a reason"}.what();
    CHECK(text == "PROXY header: a reason");
}

TEST_CASE("TLVs: what they say, the checksum, and a header as long as it may be") {
    const std::string inet{"\xc0\0\2\7\xc6\x33\x64\1\xdc\4\1\xbb", 12};
    const std::string ssl = tlv(
        0x20, std::string{"\7\0\0\0\0", 5} + tlv(0x21, "TLSv1.3") + tlv(0x22, "somebody") +
                  tlv(0x23, "AES") + tlv(0x24, "SHA256") + tlv(0x25, "RSA2048") + tlv(0x99, "?"));
    const std::string all = inet + tlv(0x01, "h2") + tlv(0x02, "www.example.org") +
                            tlv(0x05, "id-7") + tlv(0x04, "padding") + ssl + tlv(0xea, "");
    const ProxyHeader header = parse_proxy_header(proxy_v2(0x21, 0x11, all))->first;
    CHECK(header.alpn() == "h2");
    CHECK(header.authority() == "www.example.org");
    CHECK(header.unique_id() == "id-7");
    CHECK(header.tlv(0xea) == "");
    CHECK_FALSE(header.tlv(0x30));
    CHECK(header.tlvs.size() == 6);
    CHECK(header.tlvs.front() == ProxyTLV{0x01, "h2"});
    const auto said = header.ssl();
    REQUIRE(said);
    CHECK(said->is_encrypted);
    CHECK(said->has_certificate);
    CHECK(said->had_certificate);
    CHECK(said->is_verified);
    CHECK(said->version == "TLSv1.3");
    CHECK(said->common_name == "somebody");
    CHECK(said->cipher == "AES");
    CHECK(said->signature_algorithm == "SHA256");
    CHECK(said->key_algorithm == "RSA2048");

    const auto ssl_of = [&](const std::string& value) {
        return parse_proxy_header(proxy_v2(0x21, 0x11, inet + tlv(0x20, value)))->first.ssl();
    };
    CHECK_FALSE(ssl_of({"\1\0\0\0", 4}));
    CHECK_FALSE(ssl_of({"\1\0\0\0\0\x21", 6}));
    CHECK_FALSE(ssl_of({"\1\0\0\0\0", 5})->is_verified);  // there is nothing to be verified
    CHECK_FALSE(ssl_of({"\3\0\0\0\1", 5})->is_verified);
    CHECK_FALSE(parse_proxy_header("PROXY UNKNOWN\r\n")->first.ssl());

    // LOCAL has TLVs too; what does not parse there is passed over, as its addresses are.
    CHECK(parse_proxy_header(proxy_v2(0x20, 0, tlv(0x05, "check")))->first.unique_id() == "check");
    CHECK(parse_proxy_header(proxy_v2(0x20, 0, "?"))->first.tlvs.empty());

    CHECK(crc32c_of("123456789") == 0xe3069283U);
    std::string summed =
        proxy_v2(0x21, 0x11, inet + tlv(0x03, std::string(4, '\0')) + tlv(0x01, "h2"));
    pack_into<std::uint32_t>(summed, 16 + 12 + 3, crc32c_of(summed));
    CHECK(parse_proxy_header(summed)->first.alpn() == "h2");
    summed.back() ^= 1;
    CHECK(failure_of(summed) == Failure::malformed);

    const std::string longest = proxy_v2(
        0x21, 0x11, inet + tlv(0x04, std::string(longest_proxy_header - 16 - 12 - 3, 'x')));
    CHECK(parse_proxy_header(longest)->second == longest_proxy_header);
}

}  // namespace
