// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "socketserver/detail/export.hpp"
#include "socketserver/statistics.hpp"

namespace socketserver {

/// The media type of what prometheus_text() returns: the `Content-Type` of an answer over HTTP.
inline constexpr std::string_view prometheus_content_type =
    "text/plain; version=0.0.4; charset=utf-8";

/// The same for openmetrics_text().
inline constexpr std::string_view openmetrics_content_type =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A name and a value, such as `{"server", "echo"}`.
using MetricLabels = std::vector<std::pair<std::string, std::string>>;

/// Statistics in the text format of Prometheus: one metric for each of their members, named
/// `socketserver_...`, with the reason of a close and the cause of a refusal as labels, and
/// histograms in seconds.
/// examples/admin.cpp serves them.
///
/// Every sample has the `labels`, which tell the servers of one program apart. May be called from
/// any thread. Beyond Python.
///
/// @throws std::invalid_argument if a label's name is not one that Prometheus takes: letters,
///         digits and `_`, no digit in front, no two `_` in front, not `reason`, `cause` or `le`.
SOCKETSERVER_EXPORT std::string prometheus_text(const Statistics& statistics,
                                                const MetricLabels& labels = {});

/// The same statistics in the text format of OpenMetrics 1.0, under the same names. Prometheus asks
/// for it by the `Accept` header of its request; other collectors read nothing else.
///
/// May be called from any thread. Beyond Python.
///
/// @throws std::invalid_argument as prometheus_text() does.
SOCKETSERVER_EXPORT std::string openmetrics_text(const Statistics& statistics,
                                                 const MetricLabels& labels = {});

/// The names of the enumerators as prometheus_text() writes them: "client_closed", for example. May
/// be called from any thread.
SOCKETSERVER_EXPORT std::string_view to_string(CloseReason reason) noexcept;
SOCKETSERVER_EXPORT std::string_view to_string(RefuseCause cause) noexcept;

}  // namespace socketserver
