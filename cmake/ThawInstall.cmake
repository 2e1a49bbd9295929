# SPDX-License-Identifier: BSD-3-Clause
include(CMakePackageConfigHelpers)
set(thaw_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/thaw)

# An export for each component: who lacks what one needs can have the others.
foreach(target IN ITEMS thaw ${thaw_components})
  string(REPLACE _ - export ${target}-targets)
  install(TARGETS ${target} EXPORT ${export} FILE_SET HEADERS)
  install(EXPORT ${export} NAMESPACE thaw:: DESTINATION ${thaw_package_dir})
endforeach()
configure_package_config_file(cmake/thaw-config.cmake.in ${PROJECT_BINARY_DIR}/thaw-config.cmake
                              INSTALL_DESTINATION ${thaw_package_dir} PATH_VARS CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/thaw-config-version.cmake COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/thaw-config.cmake ${PROJECT_BINARY_DIR}/thaw-config-version.cmake
              ${PROJECT_SOURCE_DIR}/cmake/ThawCompiled.cmake ${PROJECT_SOURCE_DIR}/cmake/ThawFetchWeights.cmake
              ${PROJECT_SOURCE_DIR}/cmake/FindxxHash.cmake
              ${PROJECT_SOURCE_DIR}/cmake/FindThawOpenCV.cmake ${PROJECT_SOURCE_DIR}/cmake/FindThawGloo.cmake
              ${PROJECT_SOURCE_DIR}/cmake/FindThawNccl.cmake
        DESTINATION ${thaw_package_dir})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/thaw)
