// SPDX-License-Identifier: MIT
#include "os/shared_memory.hpp"

#include <sys/mman.h>

#include "os/system_error.hpp"

namespace socketserver::detail {

void* map_shared_memory(std::size_t size, std::string_view operation) {
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw_system_error(operation);
    return memory;
}

}  // namespace socketserver::detail
