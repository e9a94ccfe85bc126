# cmake -DROOT=<repository> -P check-lists.cmake: the lists of the build name every file that exists.
# A source that is forgotten fails to link somewhere, but a header or a test that is forgotten fails nowhere.

cmake_minimum_required(VERSION 3.25)
cmake_path(ABSOLUTE_PATH ROOT)
set(forgotten "")

# check(<list file> <folder of the names in it> <pattern>...)
function(check list_file folder)
    file(READ ${ROOT}/${list_file} text)
    list(TRANSFORM ARGN PREPEND ${ROOT}/${folder}/)
    file(GLOB_RECURSE files RELATIVE ${ROOT}/${folder} ${ARGN})
    foreach(file IN LISTS files)
        string(REGEX REPLACE "([.+])" "\\\\\\1" name ${file})
        if(NOT text MATCHES "[ (\n]${name}[ )\n]")
            string(APPEND forgotten "\n  ${folder}/${file} is not named in ${list_file}")
        endif()
    endforeach()
    set(forgotten "${forgotten}" PARENT_SCOPE)
endfunction()

check(src/CMakeLists.txt include/socketserver *.hpp)
check(src/CMakeLists.txt src *.cpp)

# Tests and examples are named by what add_unit_test() and its like make file names of: the groups of the
# regular expression, one after the other.
function(check_names list_file folder pattern regex)
    file(READ ${ROOT}/${list_file} text)
    file(GLOB${ARGN} files RELATIVE ${ROOT}/${folder} ${ROOT}/${folder}/${pattern})
    foreach(file IN LISTS files)
        string(REGEX REPLACE "${regex}" "\\1\\2" name ${file})
        if(NOT text MATCHES "[ (\n]${name}[ )\n]")
            string(APPEND forgotten "\n  ${folder}/${file} is not named in ${list_file}")
        endif()
    endforeach()
    set(forgotten "${forgotten}" PARENT_SCOPE)
endfunction()

check_names(tests/CMakeLists.txt tests test_*.cpp "^(.*)test_(.*)\\.cpp$" _RECURSE)
check_names(tests/CMakeLists.txt tests/compile_fail *.cpp "^()(.*)\\.cpp$")
check_names(examples/CMakeLists.txt examples *.cpp "^()(.*)\\.cpp$")

if(forgotten)
    message(FATAL_ERROR "files that the build does not know:${forgotten}")
endif()
