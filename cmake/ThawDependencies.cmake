# SPDX-License-Identifier: BSD-3-Clause
# What thaw stands on: docs/dependencies.md says why.
set(CMAKE_FIND_PACKAGE_TARGETS_GLOBAL ON) # so that a project that includes this one by add_subdirectory sees them (CMake 3.25)
find_package(Torch 2.6 REQUIRED)
find_package(fmt 9 REQUIRED)
list(APPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR})
find_package(nlohmann_json 3.9 QUIET) # without these two there is no thaw::io
find_package(xxHash 0.8 QUIET)
find_package(ThawOpenCV 4 QUIET) # without it there is no thaw::vision
find_package(ThawGloo QUIET) # without it there is no thaw::distributed
find_package(ThawNccl QUIET) # without it thaw::distributed stays on the CPU
find_package(ICU 66 QUIET COMPONENTS uc) # without it there is no thaw::text
