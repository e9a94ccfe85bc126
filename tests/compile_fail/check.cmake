# cmake -DSOURCE=... -DCOMPILER=... -DSTANDARD=... -DINCLUDES=... -P check.cmake
#
# The first line of the source says what must happen:
#   // expect: <regex>     it does not compile, and the compiler's output matches
#   // expect within <n> lines: <regex>
#                           the same, and the match ends in the first n lines from the error on
#   // expect success      it compiles (or else the failures of the others would say nothing)
file(STRINGS ${SOURCE} expectation LIMIT_COUNT 1)
list(TRANSFORM INCLUDES PREPEND -I)
execute_process(
    COMMAND ${COMPILER} ${STANDARD} -fsyntax-only ${INCLUDES} ${SOURCE}
    RESULT_VARIABLE result
    ERROR_VARIABLE output
    OUTPUT_VARIABLE output)

if(expectation STREQUAL "// expect success")
    if(NOT result EQUAL 0)
        message("${output}")
        message(FATAL_ERROR "must compile, but does not")
    endif()
elseif(expectation MATCHES "^// expect( within ([0-9]+) lines)?: (.+)$")
    set(regex "${CMAKE_MATCH_3}")
    if(CMAKE_MATCH_1)
        set(most "${CMAKE_MATCH_2}")
        # What stands before the first error says where the file was included from.
        string(REGEX REPLACE "^.*(\n[^\n]*error: )" "\\1" output "${output}")
        string(REPLACE ";" "," output "${output}")
        string(REPLACE "\n" ";" lines "${output}")
        list(SUBLIST lines 0 ${most} lines)
        list(JOIN lines "\n" output)
    endif()
    if(result EQUAL 0)
        message(FATAL_ERROR "compiles, but must be refused with: ${regex}")
    elseif(NOT output MATCHES "${regex}")
        message("${output}")
        message(FATAL_ERROR "is refused, as it must be, but the text does not match: ${regex}")
    endif()
else()
    message(FATAL_ERROR "the first line must be \"// expect: <regex>\" or \"// expect success\"")
endif()
