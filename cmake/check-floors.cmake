# cmake -DROOT=<repository> -P check-floors.cmake: no file includes one of a higher floor. The floor of a file
# is its folder, in src/, include/socketserver/detail/ and tests/ alike; the headers that users include lie in one
# folder, so theirs is said here. The three folders of policy/ stand beside each other and include nothing of
# one another. docs/design.md says what the floors are.

cmake_minimum_required(VERSION 3.25)
cmake_path(ABSOLUTE_PATH ROOT)

set(floors os io request server policy whole)  # from the lowest to the highest
set(headers_of_os version)
set(headers_of_io address buffered_reader buffered_writer datagram errors integers socket)
set(headers_of_request drain_report server_options statistics)
set(headers_of_server
    base_server handover policy policy_host request_handler server_base shutdown_on_signal synchronous_mixin
    tcp_server testing transport transport_server udp_server unix_server)
set(headers_of_policy/fibers fiber fiber_mixin fiber_sync)
set(headers_of_policy/processes forking_mixin prefork_mixin)
set(headers_of_policy/threads thread_pool_mixin threading_mixin)
set(headers_of_whole predefined socketserver)
set(below_all detail/export.hpp)  # macros

# find_room(<path from include/socketserver, src or tests> <variable>): the folder that the file belongs to.
function(find_room path variable)
    set(${variable} "" PARENT_SCOPE)
    if(path MATCHES "^(detail/)?(policy/[a-z]+|os|io|request|server|whole)/")
        set(${variable} ${CMAKE_MATCH_2} PARENT_SCOPE)
        return()
    endif()
    cmake_path(GET path STEM name)
    foreach(room IN ITEMS os io request server policy/fibers policy/processes policy/threads whole)
        if(path STREQUAL "${name}.hpp" AND name IN_LIST headers_of_${room})
            set(${variable} ${room} PARENT_SCOPE)
        endif()
    endforeach()
endfunction()

function(floor_of room variable)
    string(REGEX REPLACE "/.*" "" floor ${room})
    list(FIND floors ${floor} height)
    set(${variable} ${height} PARENT_SCOPE)
endfunction()

set(wrong "")
set(checked 0)
foreach(base IN ITEMS include/socketserver src tests)
    file(GLOB_RECURSE files RELATIVE ${ROOT}/${base} ${ROOT}/${base}/*.hpp ${ROOT}/${base}/*.cpp)
    foreach(file IN LISTS files)
        if(file IN_LIST below_all OR (base STREQUAL tests AND file MATCHES "^(support|compile_fail|examples|package)/"))
            continue()
        endif()
        find_room(${file} room)
        if(NOT room)
            string(APPEND wrong "\n  ${base}/${file} belongs to no floor")
            continue()
        endif()
        floor_of(${room} own_height)
        file(STRINGS ${ROOT}/${base}/${file} includes REGEX "^# *include \"")
        foreach(include IN LISTS includes)
            string(REGEX REPLACE "^# *include \"(socketserver/)?([^\"]*)\".*" "\\2" included ${include})
            if(included IN_LIST below_all)
                continue()
            endif()
            # A test looks at its subject from above, through a server if need be: what it includes of the inside is
            # from the floor of its subject or below.
            if(base STREQUAL tests AND (included MATCHES "^support/" OR include MATCHES "\"socketserver/"))
                continue()
            endif()
            find_room(${included} included_room)
            if(NOT included_room)
                string(APPEND wrong "\n  ${base}/${file} includes ${included}, which belongs to no floor")
                continue()
            endif()
            floor_of(${included_room} height)
            math(EXPR checked "${checked} + 1")
            if(height GREATER own_height OR (height EQUAL own_height AND NOT included_room STREQUAL room))
                string(APPEND wrong "\n  ${base}/${file} (${room}) includes ${included} (${included_room})")
            endif()
        endforeach()
    endforeach()
endforeach()

if(checked LESS 300)
    message(FATAL_ERROR "only ${checked} includes were found: the pattern does not fit any more")
endif()
if(wrong)
    message(FATAL_ERROR "includes that run upwards, or to a neighbour:${wrong}")
endif()
