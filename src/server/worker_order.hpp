// SPDX-License-Identifier: MIT
#pragma once

namespace socketserver::detail {

/// What a parent tells a worker over its control: one byte for each meaning, each at most once, and
/// none after one that says more. The end of the stream is a parent that has died: stop.
enum class WorkerOrder : char {
    none,
    retire,  ///< accept no more, finish what is being served, end
    drain,   ///< as ServerBase::drain() in the parent has it
    stop     ///< as ServerBase::shutdown(); stays in the control, which is readable from then on
};

}  // namespace socketserver::detail
