# cmake -DGROUP=<name> -DOBJECTS=<list> -P check-unity.cmake: a UNITY_GROUP of src/CMakeLists.txt is compiled as
# one file. CMake drops a unity build without a word for sources that it scans for modules.

cmake_minimum_required(VERSION 3.25)
if(NOT OBJECTS MATCHES "/unity_${GROUP}_cxx\\.cxx\\.")
    message(FATAL_ERROR "the group \"${GROUP}\" is not compiled as one file; the objects are:\n${OBJECTS}")
endif()
