# SPDX-License-Identifier: BSD-3-Clause
# ./dev package: thaw as a Debian package and as an archive. Both hold headers and CMake files, for every architecture.
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/libthaw-dev RENAME copyright
        COMPONENT debian EXCLUDE_FROM_ALL)
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_SOURCE_DIR}/cmake/ThawPackageDebian.cmake) # which adds that file

set(CPACK_GENERATOR TGZ DEB)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_PACKAGE_FILE_NAME thaw-${PROJECT_VERSION})
set(CPACK_PACKAGE_VENDOR "The thaw authors")
set(CPACK_PACKAGE_CONTACT "The thaw authors" CACHE STRING "Who makes the package: name and mail address")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGE_DESCRIPTION
    "thaw is a header-only C++20 library. It splits a pretrained torch::nn::Module
into layer groups, trains a new head with the body frozen, finds a learning
rate, then unfreezes and trains on with discriminative rates and one-cycle.
It needs LibTorch 2.6 or newer, from this system or from elsewhere.")
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
                                                WORLD_EXECUTE) # whatever the umask

set(CPACK_DEBIAN_PACKAGE_NAME libthaw-dev)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libfmt-dev (>= 9)")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "nlohmann-json3-dev (>= 3.9), libxxhash-dev (>= 0.8), \
libopencv-imgcodecs-dev (>= 4), libopencv-imgproc-dev (>= 4), libicu-dev (>= 66)") # what the components need
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libtorch-dev (>= 2.6), libgloo-dev")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
