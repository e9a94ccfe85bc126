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
        set(CMAKE_CXX_COMPILER_LAUNCHER "${SOCKETSERVER_CCACHE}")
    endif()
endif()
