# The warnings this project holds itself to. The target is linked privately to what is built here, and is
# never exported: which warnings a user of the library sees is the user's business.
add_library(socketserver_warnings INTERFACE)

# clang 19 and later take what stands behind @throws for a type alone, and ask for a description of it. With libc++
# -Wthread-safety sees each std::mutex, and does not understand std::adopt_lock after try_lock().
target_compile_options(socketserver_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast
    -Wnon-virtual-dtor -Woverloaded-virtual -Wnull-dereference -Wdouble-promotion -Wformat=2
    $<$<AND:$<CXX_COMPILER_ID:Clang>,$<NOT:$<BOOL:${SOCKETSERVER_LIBCXX}>>>:-Wthread-safety>
    $<$<AND:$<CXX_COMPILER_ID:Clang>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,19>>:-Wdocumentation>
    $<$<BOOL:${SOCKETSERVER_WERROR}>:-Werror>)
