// SPDX-License-Identifier: MIT
#include "request/shared_counters.hpp"

#include <sys/mman.h>

#include <new>

#include "os/shared_memory.hpp"

namespace socketserver::detail {

CountersMapping::CountersMapping()
    : counters_{::new (map_shared_memory(sizeof(SharedCounters), "map the counters of a server"))
                    SharedCounters} {}

CountersMapping::~CountersMapping() { ::munmap(counters_, sizeof(SharedCounters)); }

}  // namespace socketserver::detail
