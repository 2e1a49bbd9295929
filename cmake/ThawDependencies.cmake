# SPDX-License-Identifier: BSD-3-Clause
# What thaw stands on: docs/dependencies.md says why.
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON) # so that a project that includes this one by add_subdirectory sees them (CMake 3.25)
find_package(Torch 2.6 REQUIRED)
find_package(fmt 9 REQUIRED)
include(cmake/ThawComponents.cmake)
list(APPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR})
