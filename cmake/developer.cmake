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
        # What reads precompiled headers is compiled anew each time: told to cache that too (CCACHE_SLOPPINESS), ccache
        # takes an older state of them for the present one now and then.
        set(CMAKE_CXX_COMPILER_LAUNCHER "${SOCKETSERVER_CCACHE}")
    endif()
endif()

# A program with all its debugging information is linked in half the time.
find_program(SOCKETSERVER_LLD ld.lld)
mark_as_advanced(SOCKETSERVER_LLD)
if(SOCKETSERVER_LLD)
    add_link_options($<$<CONFIG:Debug>:-fuse-ld=lld>)
endif()

# Of joined sources g++ says that a class uses an anonymous namespace "of a header", which is that of its own source.
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
endif()
