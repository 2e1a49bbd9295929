# SPDX-License-Identifier: BSD-3-Clause
# cmake -DBUILD_DIR= -DSOURCE_DIR= -DPREFIX= -P install.cmake: installs, then looks for traces of this machine.
file(REMOVE_RECURSE ${PREFIX}) # files that are installed no more must not help the consumer
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${PREFIX} COMMAND_ERROR_IS_FATAL ANY)

file(GLOB_RECURSE package ${PREFIX}/*.cmake)
if(NOT package)
  message(FATAL_ERROR "no CMake package was installed under ${PREFIX}")
endif()
foreach(file IN LISTS package)
  file(READ ${file} text)
  foreach(path ${SOURCE_DIR} ${BUILD_DIR} ${PREFIX} ${TORCH_DIR})
    string(FIND "${text}" "${path}" at)
    if(NOT at EQUAL -1)
      message(FATAL_ERROR "${file} names ${path}, which is on this machine alone")
    endif()
  endforeach()
endforeach()
