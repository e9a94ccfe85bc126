# What makes a fault in the libraries harder to misuse, for packages that many people install (the preset "debian").
# `.ci/hardening` looks whether it is in force.
include(CheckCXXCompilerFlag)

foreach(flag IN ITEMS -fstack-protector-strong -fstack-clash-protection -fcf-protection -mbranch-protection=standard)
    string(MAKE_C_IDENTIFIER "SOCKETSERVER_HAS${flag}" known)
    check_cxx_compiler_flag("-Werror ${flag}" ${known})
    mark_as_advanced(${known})
    if(${known})
        add_compile_options(${flag})
    endif()
endforeach()
# Some compilers define it by themselves, and lower.
add_compile_options("SHELL:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3")
add_link_options(LINKER:-z,relro,-z,now)
