# What libc++ needs. It sets socketserver_fmt, the target of {fmt} that fits the standard library, and
# socketserver_libcxx_options, which the library and its users compile with.
set(socketserver_fmt fmt::fmt)
set(socketserver_libcxx_options "")
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    return()
endif()

include(CheckCXXSourceCompiles)
check_cxx_source_compiles("
    #include <cstddef>
    #ifndef _LIBCPP_VERSION
    #    error
    #endif
    int main() {}" SOCKETSERVER_LIBCXX)
if(NOT SOCKETSERVER_LIBCXX)
    return()
endif()
# The header <fmt/format.h> of {fmt} 11.1 calls malloc() and does not include <cstdlib>.
set(socketserver_libcxx_options "SHELL:-include cstdlib")

# Distributions compile {fmt} with libstdc++, whose std::string is not that of libc++.
get_target_property(fmt_is_imported fmt::fmt IMPORTED)
if(fmt_is_imported AND TARGET fmt::fmt-header-only)
    set(CMAKE_REQUIRED_FLAGS "${CMAKE_CXX20_STANDARD_COMPILE_OPTION} -include cstdlib")
    set(CMAKE_REQUIRED_LIBRARIES fmt::fmt)
    check_cxx_source_compiles("
        #include <fmt/format.h>
        int main() { return fmt::format(fmt::runtime(\"{}\"), 1).empty(); }" SOCKETSERVER_FMT_LINKS)
    unset(CMAKE_REQUIRED_FLAGS)
    unset(CMAKE_REQUIRED_LIBRARIES)
    if(NOT SOCKETSERVER_FMT_LINKS)
        message(STATUS "socketserver: with libc++ and the headers of {fmt} alone, because its library, which was found, "
            "is compiled with another standard library")
        set(socketserver_fmt fmt::fmt-header-only)
    endif()
endif()
