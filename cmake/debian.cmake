# cpack -G DEB: a runtime and a development package of each library.
# Configure for it with -DBUILD_SHARED_LIBS=ON -DCMAKE_INSTALL_PREFIX=/usr, as the preset "debian" does. Whoever
# builds the packages is their maintainer, and may say so in DEBFULLNAME and DEBEMAIL, as for Debian's own tools.

set(maintainer "socketserver authors")
if(DEFINED ENV{DEBFULLNAME})
    set(maintainer "$ENV{DEBFULLNAME}")
endif()
if(DEFINED ENV{DEBEMAIL})
    string(APPEND maintainer " <$ENV{DEBEMAIL}>")
else()
    string(APPEND maintainer " <maintainers@socketserver.invalid>")
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME socketserver)
set(CPACK_PACKAGE_CONTACT "${maintainer}")
set(CPACK_PACKAGE_VENDOR "socketserver authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "network servers for C++20, as Python's socketserver has them")
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ONE_PER_GROUP)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Where the one library finds the other while its dependencies are computed.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/src)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY "=")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_POST_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/debian-triggers.cmake)

# What Debian's policy wants in each package.
string(TIMESTAMP debian_date "%a, %d %b %Y %H:%M:%S +0000" UTC)
file(WRITE ${PROJECT_BINARY_DIR}/debian-changelog
    "socketserver (${PROJECT_VERSION}) unstable; urgency=medium\n\n"
    "  * Release ${PROJECT_VERSION}: see CHANGELOG.md of the sources.\n\n"
    " -- ${maintainer}  ${debian_date}\n")

# Left out of an installation of everything: only the packages are made component by component.
function(install_debian_docs component package)
    set(folder ${CMAKE_INSTALL_DATAROOTDIR}/doc/${package})
    install(FILES LICENSE DESTINATION ${folder} RENAME copyright COMPONENT ${component} EXCLUDE_FROM_ALL)
    install(CODE "execute_process(
        COMMAND gzip --best --no-name --stdout \"${PROJECT_BINARY_DIR}/debian-changelog\"
        OUTPUT_FILE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${folder}/changelog.gz\"
        COMMAND_ERROR_IS_FATAL ANY)"
        COMPONENT ${component} EXCLUDE_FROM_ALL)
endfunction()

set(so_version ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set(CPACK_COMPONENTS_ALL)

# debian_packages(<component> <package base name> <what it is> <dependency of -dev>...)
macro(debian_packages component base summary)
    string(TOUPPER ${component} COMPONENT)
    set(dev_depends ${ARGN})
    if(BUILD_SHARED_LIBS)
        list(APPEND CPACK_COMPONENTS_ALL ${component}_runtime)
        set(CPACK_DEBIAN_${COMPONENT}_RUNTIME_PACKAGE_NAME ${base}${so_version})
        set(CPACK_DEBIAN_${COMPONENT}_RUNTIME_DESCRIPTION "${summary} (shared library)")
        install_debian_docs(${component}_runtime ${base}${so_version})
        list(PREPEND dev_depends "${base}${so_version} (= ${PROJECT_VERSION})")
    endif()
    list(APPEND CPACK_COMPONENTS_ALL ${component}_development)
    set(CPACK_DEBIAN_${COMPONENT}_DEVELOPMENT_PACKAGE_NAME ${base}-dev)
    set(CPACK_DEBIAN_${COMPONENT}_DEVELOPMENT_PACKAGE_SECTION libdevel)
    set(CPACK_DEBIAN_${COMPONENT}_DEVELOPMENT_DESCRIPTION "${summary} (development files)")
    install_debian_docs(${component}_development ${base}-dev)
    list(JOIN dev_depends ", " CPACK_DEBIAN_${COMPONENT}_DEVELOPMENT_PACKAGE_DEPENDS)
endmacro()

debian_packages(socketserver libsocketserver "Python's socketserver for C++20"
    libfmt-dev)
if(TARGET socketserver_fiber)
    set(fiber_depends "libsocketserver-dev (= ${PROJECT_VERSION})")
    if(NOT BUILD_SHARED_LIBS)
        list(APPEND fiber_depends libboost-context-dev)
    endif()
    debian_packages(socketserver_fiber libsocketserver-fiber "The fiber policy of socketserver"
        ${fiber_depends})
    set(CPACK_DEBIAN_SOCKETSERVER_FIBER_RUNTIME_PACKAGE_DEPENDS "libsocketserver${so_version} (= ${PROJECT_VERSION})")
endif()
if(TARGET socketserver_tls)
    set(tls_depends "libsocketserver-dev (= ${PROJECT_VERSION})")
    if(NOT BUILD_SHARED_LIBS)
        list(APPEND tls_depends libssl-dev)
    endif()
    debian_packages(socketserver_tls libsocketserver-tls "TLS for socketserver"
        ${tls_depends})
    set(CPACK_DEBIAN_SOCKETSERVER_TLS_RUNTIME_PACKAGE_DEPENDS "libsocketserver${so_version} (= ${PROJECT_VERSION})")
endif()

include(CPack)
