# SPDX-License-Identifier: BSD-3-Clause
# CPack reads this for each kind of package: Debian's wants the licence in a place of its own.
if(CPACK_GENERATOR STREQUAL "DEB")
  list(GET CPACK_INSTALL_CMAKE_PROJECTS 0 build_dir)
  list(APPEND CPACK_INSTALL_CMAKE_PROJECTS ${build_dir} thaw debian /)
endif()
