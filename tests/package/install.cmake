# cmake -DBUILD_DIR=... -DWORK_DIR=... -DPREFIX=... -P install.cmake: installs, moves, starts consumers afresh.
file(REMOVE_RECURSE ${WORK_DIR})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${WORK_DIR}/installed
    COMMAND_ERROR_IS_FATAL ANY)
file(RENAME ${WORK_DIR}/installed ${PREFIX})
