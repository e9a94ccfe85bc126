# Configures without Boost.Context, which must be said, and again with it, which must build the fibers.
file(REMOVE_RECURSE ${WORK_DIR})

# configure(<variable for the output> <regex that the result must match> [option...])
function(configure output_variable expected)
    execute_process(
        COMMAND ${CMAKE_COMMAND} -S ${SOURCE_DIR} -B ${WORK_DIR} -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER}
            -DSOCKETSERVER_BUILD_TESTS=OFF -DSOCKETSERVER_BUILD_EXAMPLES=OFF ${ARGN}
        OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
    if(NOT result MATCHES "^(${expected})$")
        message(FATAL_ERROR "configuring with ${ARGN} ended with ${result}:\n${output}")
    endif()
    string(REGEX REPLACE "[ \n]+" " " output "${output}")
    set(${output_variable} "${output}" PARENT_SCOPE)
endfunction()

configure(without 0 -DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON)
if(NOT without MATCHES "without fibers.*Boost.Context 1.74 or later was not found.*libboost-context-dev")
    message(FATAL_ERROR "no word of the fibers that are not built:\n${without}")
endif()
configure(demanded 1 -DCMAKE_DISABLE_FIND_PACKAGE_Boost=ON -DSOCKETSERVER_BUILD_FIBER=ON)
if(NOT demanded MATCHES "SOCKETSERVER_BUILD_FIBER is ON, but Boost.Context 1.74 or later was not found")
    message(FATAL_ERROR "fibers were demanded:\n${demanded}")
endif()
configure(with 0 -DCMAKE_DISABLE_FIND_PACKAGE_Boost=OFF -DSOCKETSERVER_BUILD_FIBER=AUTO)
file(GLOB targets ${WORK_DIR}/socketserver-fiber-targets.cmake)
if(WITH_FIBER AND NOT targets)
    message(FATAL_ERROR "Boost is there again, and the fibers are not built:\n${with}")
endif()

file(REMOVE_RECURSE ${WORK_DIR})
configure(elsewhere 1 -DCMAKE_SYSTEM_NAME=FreeBSD)
if(NOT elsewhere MATCHES "socketserver runs on Linux only \\(this is FreeBSD\\)")
    message(FATAL_ERROR "another system:\n${elsewhere}")
endif()
