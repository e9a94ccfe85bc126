# What only concerns work on this project itself, never a project that adds it as a subdirectory.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()

set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)  # there are none

if(NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
    find_program(SOCKETSERVER_CCACHE ccache)
    mark_as_advanced(SOCKETSERVER_CCACHE)
    if(SOCKETSERVER_CCACHE)
        # It has to be told that precompiled headers, which contain times, may be compared by their content.
        set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros
            ${SOCKETSERVER_CCACHE})
    endif()
endif()

# A program with all its debugging information is linked in half the time.
find_program(SOCKETSERVER_LLD ld.lld)
mark_as_advanced(SOCKETSERVER_LLD)
if(SOCKETSERVER_LLD)
    add_link_options($<$<CONFIG:Debug>:-fuse-ld=lld>)
endif()
