# SPDX-License-Identifier: BSD-3-Clause
# The CMake package, the same on every machine: the user's own machine decides which components there are. It belongs to
# share/, as files for all architectures do.
include(CMakePackageConfigHelpers)
set(THAW_INSTALL_CMAKEDIR ${CMAKE_INSTALL_DATADIR}/cmake/thaw CACHE STRING "Where thaw-config.cmake is installed")

foreach(target IN LISTS thaw_targets)
  string(REPLACE _ - export ${target}-targets)
  install(TARGETS ${target} EXPORT ${export} FILE_SET HEADERS)
  install(EXPORT ${export} NAMESPACE thaw:: DESTINATION ${THAW_INSTALL_CMAKEDIR})
endforeach()
configure_package_config_file(cmake/thaw-config.cmake.in ${PROJECT_BINARY_DIR}/thaw-config.cmake
                              INSTALL_DESTINATION ${THAW_INSTALL_CMAKEDIR} PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/thaw-config-version.cmake COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/thaw-config.cmake ${PROJECT_BINARY_DIR}/thaw-config-version.cmake
        DESTINATION ${THAW_INSTALL_CMAKEDIR})
foreach(module IN ITEMS ThawCompiled ThawComponents ThawFetchWeights FindxxHash FindThawOpenCV FindThawGloo
                        FindThawNccl)
  install(FILES ${PROJECT_SOURCE_DIR}/cmake/${module}.cmake DESTINATION ${THAW_INSTALL_CMAKEDIR})
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/thaw)

if(PROJECT_IS_TOP_LEVEL)
  include(cmake/ThawPackages.cmake)
endif()
