# cmake -DBUILD_DIR=... -DPREFIX=... -P uninstall.cmake: what "uninstall" leaves of an installation is nothing of it.
file(REMOVE_RECURSE ${PREFIX})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${PREFIX} COMMAND_ERROR_IS_FATAL ANY)
file(GLOB installed ${PREFIX}/include/socketserver/*.hpp)
if(NOT installed)
    message(FATAL_ERROR "nothing was installed")
endif()
file(WRITE ${PREFIX}/include/another.hpp "")  # is not ours

execute_process(COMMAND ${CMAKE_COMMAND} --build ${BUILD_DIR} --target uninstall COMMAND_ERROR_IS_FATAL ANY)
file(GLOB_RECURSE left RELATIVE ${PREFIX} ${PREFIX}/*)
if(NOT left STREQUAL "include/another.hpp")
    message(FATAL_ERROR "left behind, or taken too much: ${left}")
endif()
if(EXISTS ${PREFIX}/include/socketserver)
    message(FATAL_ERROR "an empty folder was left behind")
endif()
