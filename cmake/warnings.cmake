# The warnings this project holds itself to. The target is linked privately to what is built here, and is
# never exported: which warnings a user of the library sees is the user's business.
add_library(socketserver_warnings INTERFACE)

target_compile_options(socketserver_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast
    -Wnon-virtual-dtor -Woverloaded-virtual -Wnull-dereference -Wdouble-promotion -Wformat=2
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety -Wdocumentation>
    $<$<BOOL:${SOCKETSERVER_WERROR}>:-Werror>)
