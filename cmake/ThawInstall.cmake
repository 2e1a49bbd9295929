include(CMakePackageConfigHelpers)
set(thaw_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/thaw)

install(TARGETS thaw ${thaw_io} ${thaw_text} EXPORT thaw-targets FILE_SET HEADERS FILE_SET details)
install(EXPORT thaw-targets NAMESPACE thaw:: DESTINATION ${thaw_package_dir})
configure_package_config_file(cmake/thaw-config.cmake.in ${PROJECT_BINARY_DIR}/thaw-config.cmake
                              INSTALL_DESTINATION ${thaw_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/thaw-config-version.cmake COMPATIBILITY SameMinorVersion
                                 ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/thaw-config.cmake ${PROJECT_BINARY_DIR}/thaw-config-version.cmake
              ${PROJECT_SOURCE_DIR}/cmake/ThawFetchWeights.cmake ${PROJECT_SOURCE_DIR}/cmake/FindxxHash.cmake
        DESTINATION ${thaw_package_dir})
