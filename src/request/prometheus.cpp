// SPDX-License-Identifier: MIT
#include "socketserver/prometheus.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>

namespace socketserver {

namespace {

constexpr std::array<std::string_view, close_reasons> reason_names{
    "finished",  "client_closed", "reset",     "timed_out",   "limit",
    "cancelled", "error",         "handshake", "proxy_header"};
constexpr std::array<std::string_view, refuse_causes> cause_names{
    "max_connections", "max_connections_per_address",
    "max_accept_rate", "verify_request",
    "policy_full",     "stopping",
    "untrusted_peer"};

bool is_letter(char each) {
    return (each >= 'a' && each <= 'z') || (each >= 'A' && each <= 'Z') || each == '_';
}

void require_label_name(const std::string& name) {
    const auto is_taken = [](char each) { return is_letter(each) || (each >= '0' && each <= '9'); };
    if (name.empty() || !is_letter(name.front()) || !std::ranges::all_of(name, is_taken) ||
        name.starts_with("__") || name == "reason" || name == "cause" || name == "le") {
        throw std::invalid_argument("metrics: \"" + name + "\" is no name for a label");
    }
}

std::string escaped(std::string_view value) {
    std::string text;
    for (const char each : value) {
        if (each == '\n') {
            text += "\\n";
            continue;
        }
        if (each == '\\' || each == '"') text += '\\';
        text += each;
    }
    return text;
}

enum class Format : unsigned char { prometheus, openmetrics };

class Page {
  public:
    Page(Format format, const MetricLabels& labels) : format_{format} {
        for (const auto& [name, value] : labels) {
            require_label_name(name);
            add_label(labels_, name, value);
        }
    }

    void family(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        // In OpenMetrics the ending belongs to the sample, not to the name of the family.
        constexpr std::string_view ending = "_total";
        const bool ends_so = format_ == Format::openmetrics && name.ends_with(ending);
        if (ends_so) name.remove_suffix(ending.size());
        describe("TYPE", name, type);
        if (format_ == Format::openmetrics) {
            if (name.ends_with("_bytes")) describe("UNIT", name, "bytes");
            if (name.ends_with("_seconds")) describe("UNIT", name, "seconds");
        }
        describe("HELP", name, help);
    }
    void sample(std::uint64_t value, std::string_view label = {}, std::string_view its_value = {}) {
        std::string labels = labels_;
        if (!label.empty()) add_label(labels, label, its_value);
        text_ += "socketserver_";
        text_ += name_;
        text_ += braced(labels);
        text_ += ' ' + std::to_string(value) + '\n';
    }
    void one(std::string_view name, std::string_view type, std::string_view help,
             std::uint64_t value) {
        family(name, type, help);
        sample(value);
    }
    void histogram(std::string_view name, std::string_view help, const Histogram& times) {
        family(name, "histogram", help);
        const std::string base{name};
        const std::string bucket = base + "_bucket";
        name_ = bucket;
        std::uint64_t count = 0;
        for (std::size_t i = 0; i < times.counts.size(); ++i) {
            count += times.counts[i];
            sample(count, "le",
                   i < Histogram::bounds.size() ? fmt::format("{}", seconds(Histogram::bounds[i]))
                                                : "+Inf");
        }
        text_ +=
            fmt::format("socketserver_{}_sum{} {}\n", base, braced(labels_), seconds(times.sum));
        text_ += fmt::format("socketserver_{}_count{} {}\n", base, braced(labels_), count);
    }
    std::string take() {
        if (format_ == Format::openmetrics) text_ += "# EOF\n";
        return std::move(text_);
    }

  private:
    void describe(std::string_view what, std::string_view name, std::string_view text) {
        text_ += fmt::format("# {} socketserver_{} {}\n", what, name, text);
    }
    static double seconds(std::chrono::nanoseconds time) {
        return std::chrono::duration<double>{time}.count();
    }
    static std::string braced(const std::string& labels) {
        return labels.empty() ? std::string{} : '{' + labels + '}';
    }
    static void add_label(std::string& labels, std::string_view name, std::string_view value) {
        if (!labels.empty()) labels += ',';
        labels += name;
        labels += "=\"" + escaped(value) + '"';
    }

    Format format_;
    std::string labels_{};
    std::string name_{};
    std::string text_{};
};

std::string metrics(Format format, const Statistics& statistics, const MetricLabels& labels) {
    Page page{format, labels};
    page.one("connections_accepted_total", "counter",
             "Connections and datagrams taken from the kernel.", statistics.accepted);
    page.one("connections_active", "gauge", "Of these, waiting to be served or being served.",
             statistics.active);
    page.family("connections_closed_total", "counter", "Requests that have ended, and why.");
    for (std::size_t i = 0; i < close_reasons; ++i) {
        page.sample(statistics.closed_by[i], "reason", reason_names[i]);
    }
    page.family("connections_refused_total", "counter", "Connections not served, and why.");
    for (std::size_t i = 0; i < refuse_causes; ++i) {
        page.sample(statistics.refused_by[i], "cause", cause_names[i]);
    }
    page.one("accept_errors_total", "counter", "Failures to accept.", statistics.accept_errors);
    page.one("received_bytes_total", "counter", "Bytes from clients whose connections have ended.",
             statistics.bytes_in);
    page.one("sent_bytes_total", "counter", "Bytes to clients whose connections have ended.",
             statistics.bytes_out);
    page.histogram("request_duration_seconds",
                   "From accepting a connection or a datagram to its end.", statistics.duration);
    page.histogram("request_wait_seconds",
                   "From accepting a connection or a datagram until it began to be served.",
                   statistics.waited);
    page.one("datagrams_truncated_total", "counter",
             "Datagrams that were longer than the server takes.", statistics.datagrams_truncated);
    page.one("datagrams_dropped_total", "counter",
             "Datagrams that the kernel dropped because its queue was full.",
             statistics.datagrams_dropped);
    page.one("replies_failed_total", "counter", "Datagrams that could not be sent.",
             statistics.replies_failed);
    page.one("replies_withheld_total", "counter",
             "Replies that were not sent because of max_amplification or max_reply_rate.",
             statistics.replies_withheld);
    page.one("threads", "gauge", "Threads of the policy in this process.", statistics.threads);
    page.one("children", "gauge", "Child processes of the policy.", statistics.children);
    page.one("fibers", "gauge", "Fibers of the policy in this process.", statistics.fibers);
    page.one("requests_queued", "gauge", "Requests that wait in the queue of the policy.",
             statistics.queued);
    return page.take();
}

}  // namespace

std::string_view to_string(CloseReason reason) noexcept {
    return reason_names[static_cast<std::size_t>(reason)];
}

std::string_view to_string(RefuseCause cause) noexcept {
    return cause_names[static_cast<std::size_t>(cause)];
}

std::string prometheus_text(const Statistics& statistics, const MetricLabels& labels) {
    return metrics(Format::prometheus, statistics, labels);
}

std::string openmetrics_text(const Statistics& statistics, const MetricLabels& labels) {
    return metrics(Format::openmetrics, statistics, labels);
}

}  // namespace socketserver
