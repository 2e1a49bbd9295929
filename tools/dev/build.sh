# SPDX-License-Identifier: BSD-3-Clause
# Configuring and building.

# configure <preset>
configure() {
  local options=("-DTorch_DIR=$torch_dir") fresh=()
  [[ ! -e $deps/python/made_of ]] || options+=("-DTHAW_PYTHON=$deps/python/bin/python")
  # LibTorch's CMake files remember where they were; another LibTorch needs a fresh cache
  grep -qs "^Torch_DIR:[A-Z]*=$torch_dir\$" "build/$1/CMakeCache.txt" || fresh=(--fresh)
  say "configuring build/$1"
  CMAKE_PREFIX_PATH=$deps/catch2/usr${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH} \
    quietly configure cmake --preset "$1" "${fresh[@]}" "${options[@]}" || failed configure "CMake could not configure"
}

# build <preset> <option of cmake --build...>
build() {
  say "building in build/$1"
  cmake --build --preset "$@" || die "the build failed: see above"
}

dev_bench() {
  prepare
  configure bench
  build bench
}

dev_headers() {
  prepare
  set_up_clang
  configure clang
  build clang --target headers_alone
}
