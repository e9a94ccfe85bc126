# Install rules, the CMake package, the pkg-config files and the Debian packages.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/socketserver)

# install_component(<target> <component>): the library, its headers and its targets file, as the install
# components <component>_runtime (what a program needs to run) and <component>_development.
function(install_component target component)
    install(TARGETS ${target} EXPORT ${component}_targets
        RUNTIME COMPONENT ${component}_runtime
        LIBRARY COMPONENT ${component}_runtime NAMELINK_COMPONENT ${component}_development
        ARCHIVE COMPONENT ${component}_development
        FILE_SET HEADERS COMPONENT ${component}_development
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    string(REPLACE _ - file_name ${component})
    install(EXPORT ${component}_targets
        FILE ${file_name}-targets.cmake
        NAMESPACE socketserver::
        DESTINATION ${cmake_dir}
        COMPONENT ${component}_development)
    # The same for who names the build tree in CMAKE_PREFIX_PATH or socketserver_DIR.
    export(EXPORT ${component}_targets
        FILE ${PROJECT_BINARY_DIR}/${file_name}-targets.cmake
        NAMESPACE socketserver::)
    # The pkg-config file finds its prefix from where it lies, so an installed tree can be moved.
    file(RELATIVE_PATH prefix_from_pc
        ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
    string(REGEX REPLACE "/$" "" prefix_from_pc ${prefix_from_pc})
    configure_file(cmake/${file_name}.pc.in ${file_name}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${file_name}.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
        COMPONENT ${component}_development)
endfunction()

if(NOT BUILD_SHARED_LIBS)
    set(pc_definitions " -DSOCKETSERVER_STATIC_DEFINE")
    set(pc_fiber_libs " -lboost_context -ldl")
    set(pc_tls_requires ", libssl >= 3, libcrypto >= 3")
endif()

configure_package_config_file(cmake/socketserver-config.cmake.in socketserver-config.cmake
    INSTALL_DESTINATION ${cmake_dir} NO_SET_AND_CHECK_MACRO)
configure_file(cmake/socketserver-config-version.cmake.in socketserver-config-version.cmake @ONLY)
install(FILES
    ${PROJECT_BINARY_DIR}/socketserver-config.cmake
    ${PROJECT_BINARY_DIR}/socketserver-config-version.cmake
    DESTINATION ${cmake_dir}
    COMPONENT socketserver_development)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT socketserver_development)

if(TARGET socketserver_header_only)
    install(TARGETS socketserver_header_only EXPORT socketserver_targets
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    install(FILES ${PROJECT_BINARY_DIR}/single/socketserver_single.hpp
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT socketserver_development)
endif()
install_component(socketserver socketserver)
if(TARGET socketserver_fiber)
    install_component(socketserver_fiber socketserver_fiber)
else()
    file(REMOVE ${PROJECT_BINARY_DIR}/socketserver-fiber-targets.cmake)  # of an earlier configuration
endif()
if(TARGET socketserver_tls)
    install_component(socketserver_tls socketserver_tls)
else()
    file(REMOVE ${PROJECT_BINARY_DIR}/socketserver-tls-targets.cmake)
endif()

add_custom_target(socketserver_uninstall
    COMMAND ${CMAKE_COMMAND} -DBUILD_DIR=${CMAKE_BINARY_DIR} -P ${PROJECT_SOURCE_DIR}/cmake/uninstall.cmake
    COMMENT "Removing what was installed from this build tree" VERBATIM)
if(PROJECT_IS_TOP_LEVEL)
    add_custom_target(uninstall DEPENDS socketserver_uninstall)
endif()

if(PROJECT_IS_TOP_LEVEL)
    include(cmake/debian.cmake)
endif()
