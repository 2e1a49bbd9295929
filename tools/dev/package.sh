# SPDX-License-Identifier: BSD-3-Clause
# A Debian package and an archive of thaw: what they hold is in cmake/ThawPackages.cmake.

dev_package() {
  local each
  command -v cmake >/dev/null && command -v c++ >/dev/null || die "install CMake 3.25 or newer and a C++ compiler"
  cmake --workflow --preset package || die "the packages could not be made: see above"
  for each in build/package/*.deb build/package/*.tar.gz; do say "$each"; done
}
