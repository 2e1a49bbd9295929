# SPDX-License-Identifier: BSD-3-Clause
# An overlay port: it installs the checkout that it lies in, which no release archive is needed for. Features bring
# libraries; what is installed is the same for all of them.
set(VCPKG_BUILD_TYPE release) # headers: there is nothing to debug
cmake_path(SET SOURCE_PATH NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../../..")
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS -DTHAW_BUILD_TESTS=OFF -DTHAW_BUILD_EXAMPLES=OFF -DTHAW_INSTALL_CMAKEDIR=share/thaw)
vcpkg_cmake_install()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/licenses")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
