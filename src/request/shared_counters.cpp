// SPDX-License-Identifier: MIT
#include "request/shared_counters.hpp"

#include <sys/mman.h>

#include <new>

#include "os/system_error.hpp"

namespace socketserver::detail {

CountersMapping::CountersMapping() {
    void* memory = ::mmap(nullptr, sizeof(SharedCounters), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw_system_error("map the counters of a server");
    counters_ = ::new (memory) SharedCounters;
}

CountersMapping::~CountersMapping() { ::munmap(counters_, sizeof(SharedCounters)); }

}  // namespace socketserver::detail
