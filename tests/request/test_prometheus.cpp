// SPDX-License-Identifier: MIT
#include "socketserver/prometheus.hpp"

#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

#include "support/catch.hpp"
#include "support/connected_sockets.hpp"
#include "support/serving.hpp"

namespace {

using namespace socketserver;
using namespace socketserver::tests;
using Catch::Matchers::ContainsSubstring;

std::string line_of(const std::string& page, const std::string& beginning) {
    std::istringstream lines{page};
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(beginning)) return line;
    }
    return "none";
}

}  // namespace

TEST_CASE("each member of the statistics is a metric") {
    Statistics statistics;
    statistics.accepted = 1;
    statistics.active = 2;
    statistics.accept_errors = 3;
    statistics.bytes_in = 4;
    statistics.bytes_out = 5;
    statistics.datagrams_truncated = 10;
    statistics.datagrams_dropped = 11;
    statistics.replies_failed = 12;
    statistics.replies_withheld = 13;
    statistics.threads = 6;
    statistics.children = 7;
    statistics.fibers = 8;
    statistics.queued = 9;
    for (std::size_t i = 0; i < close_reasons; ++i) statistics.closed_by[i] = 100 + i;
    for (std::size_t i = 0; i < refuse_causes; ++i) statistics.refused_by[i] = 200 + i;
    const std::string page = prometheus_text(statistics);
    const auto value_of = [&](const std::string& sample) {
        return line_of(page, "socketserver_" + sample + " ").substr(sample.size() + 14);
    };
    CHECK(value_of("connections_accepted_total") == "1");
    CHECK(value_of("connections_active") == "2");
    CHECK(value_of("accept_errors_total") == "3");
    CHECK(value_of("received_bytes_total") == "4");
    CHECK(value_of("sent_bytes_total") == "5");
    CHECK(value_of("datagrams_truncated_total") == "10");
    CHECK(value_of("datagrams_dropped_total") == "11");
    CHECK(value_of("replies_failed_total") == "12");
    CHECK(value_of("replies_withheld_total") == "13");
    CHECK(value_of("threads") == "6");
    CHECK(value_of("children") == "7");
    CHECK(value_of("fibers") == "8");
    CHECK(value_of("requests_queued") == "9");
    CHECK(value_of("connections_closed_total{reason=\"finished\"}") == "100");
    CHECK(value_of("connections_closed_total{reason=\"handshake\"}") == "107");
    CHECK(value_of("connections_refused_total{cause=\"max_connections\"}") == "200");
    CHECK(value_of("connections_refused_total{cause=\"stopping\"}") == "205");
    CHECK(value_of("connections_closed_total{reason=\"proxy_header\"}") == "108");
    CHECK(value_of("connections_refused_total{cause=\"untrusted_peer\"}") == "206");
}

TEST_CASE("histograms: each bucket has those of the ones before, in seconds") {
    Statistics statistics;
    statistics.duration.counts = {1, 2, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 4};
    statistics.duration.sum = 1250ms;
    statistics.waited.counts.back() = 1;
    const std::string page = prometheus_text(statistics, {{"server", "x"}});
    const auto value_of = [&](const std::string& sample) {
        const std::string line = line_of(page, "socketserver_" + sample);
        return line.substr(line.rfind(' ') + 1);
    };
    CHECK(value_of("request_duration_seconds_bucket{server=\"x\",le=\"0.0001\"}") == "1");
    CHECK(value_of("request_duration_seconds_bucket{server=\"x\",le=\"0.001\"}") == "3");
    CHECK(value_of("request_duration_seconds_bucket{server=\"x\",le=\"0.5\"}") == "3");
    CHECK(value_of("request_duration_seconds_bucket{server=\"x\",le=\"1\"}") == "6");
    CHECK(value_of("request_duration_seconds_bucket{server=\"x\",le=\"600\"}") == "6");
    CHECK(value_of("request_duration_seconds_bucket{server=\"x\",le=\"+Inf\"}") == "10");
    CHECK(value_of("request_duration_seconds_sum{server=\"x\"}") == "1.25");
    CHECK(value_of("request_duration_seconds_count{server=\"x\"}") == "10");
    CHECK(value_of("request_wait_seconds_bucket{server=\"x\",le=\"600\"}") == "0");
    CHECK(value_of("request_wait_seconds_count{server=\"x\"}") == "1");
}

TEST_CASE("every metric says what it is, once, before its samples") {
    std::istringstream lines{prometheus_text({})};
    std::set<std::string> known;
    std::string current;
    std::size_t samples = 0;
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words{line};
        std::string first;
        words >> first;
        if (first == "#") {
            std::string kind;
            words >> kind >> current;
            if (kind == "HELP") CHECK(known.insert(current).second);
            if (kind == "TYPE") {
                std::string type;
                words >> type;
                if (current.ends_with("_seconds")) {
                    CHECK(type == "histogram");
                } else {
                    CHECK(type == (current.ends_with("_total") ? "counter" : "gauge"));
                }
            }
        } else {
            std::string name = first.substr(0, first.find('{'));
            if (current.ends_with("_seconds"))
                name.resize(name.rfind('_'));  // _bucket, _sum, _count
            CHECK(name == current);
            ++samples;
        }
    }
    CHECK(known.size() == 17);
    const std::size_t of_histogram = Histogram::bounds.size() + 1 + 2;
    CHECK(samples == 13 + close_reasons + refuse_causes + 2 * of_histogram);
}

TEST_CASE("OpenMetrics: families without the ending of their samples, units, and an end") {
    Statistics statistics;
    statistics.accepted = 3;
    statistics.bytes_in = 5;
    statistics.waited.counts.back() = 1;
    const std::string page = openmetrics_text(statistics, {{"server", "x"}});
    CHECK_THAT(page, ContainsSubstring("# TYPE socketserver_connections_accepted counter\n"));
    CHECK_THAT(page,
               ContainsSubstring("\nsocketserver_connections_accepted_total{server=\"x\"} 3\n"));
    CHECK_THAT(page, ContainsSubstring("# TYPE socketserver_received_bytes counter\n"
                                       "# UNIT socketserver_received_bytes bytes\n"));
    CHECK_THAT(page, ContainsSubstring("# TYPE socketserver_request_wait_seconds histogram\n"
                                       "# UNIT socketserver_request_wait_seconds seconds\n"));
    CHECK_THAT(page,
               ContainsSubstring("\nsocketserver_request_wait_seconds_count{server=\"x\"} 1\n"));
    CHECK(page.ends_with("\n# EOF\n"));
    // The samples are those of the other format.
    const auto samples_of = [](const std::string& text) {
        std::string samples;
        std::istringstream lines{text};
        for (std::string line; std::getline(lines, line);) {
            if (!line.starts_with('#')) samples += line + '\n';
        }
        return samples;
    };
    CHECK(samples_of(page) == samples_of(prometheus_text(statistics, {{"server", "x"}})));
    CHECK_THROWS_AS(openmetrics_text({}, {{"le", "x"}}), std::invalid_argument);
}

TEST_CASE("labels stand at each sample, and are escaped") {
    const std::string page = prometheus_text({}, {{"server", "a\"b\\c\nd"}, {"zone", "1"}});
    CHECK_THAT(page, ContainsSubstring(
                         "\nsocketserver_threads{server=\"a\\\"b\\\\c\\nd\",zone=\"1\"} 0\n"));
    CHECK_THAT(page, ContainsSubstring(",zone=\"1\",reason=\"reset\"} 0\n"));
}

TEST_CASE("a label that Prometheus would not take is refused") {
    for (const char* name : {"", "1st", "a-b", "__name__", "reason", "cause", "le", "\xc3\xa4"}) {
        CAPTURE(name);
        CHECK_THROWS_AS(prometheus_text({}, {{name, "x"}}), std::invalid_argument);
    }
    CHECK_NOTHROW(prometheus_text({}, {{"_a1", ""}}));
}

TEST_CASE("reasons and causes have the names that the metrics give them") {
    const std::string page = prometheus_text({}, {});
    for (const CloseReason reason : {CloseReason::finished, CloseReason::reset}) {
        CHECK_THAT(page, ContainsSubstring("{reason=\"" + std::string{to_string(reason)} + "\"}"));
    }
    CHECK(to_string(CloseReason::reset) == "reset");
    for (const RefuseCause cause : {RefuseCause::max_connections, RefuseCause::policy_full}) {
        CHECK_THAT(page, ContainsSubstring("{cause=\"" + std::string{to_string(cause)} + "\"}"));
    }
    CHECK(to_string(RefuseCause::max_connections) == "max_connections");
}

TEST_CASE("a server's own figures") {
    const TimeLimit limit;
    TCPServer<StreamEcho> server{any_port};
    const ServingThread serving{server};
    Socket client = connect(server.server_address());
    CHECK(ask(client, "hello\n") == "hello\n");
    client.close();
    CHECK(eventually([&] { return server.statistics().active == 0; }));
    const std::string page = prometheus_text(server.statistics());
    CHECK(line_of(page, "socketserver_connections_accepted_total") ==
          "socketserver_connections_accepted_total 1");
    CHECK(line_of(page, "socketserver_received_bytes_total") ==
          "socketserver_received_bytes_total 6");
}
