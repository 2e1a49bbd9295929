# SPDX-License-Identifier: BSD-3-Clause
# clang-tidy over all headers.

readonly tidy_version=22.1.7 # .clang-tidy is written for it

# tidy_room <flag of the compiler>... <room>: what clang-tidy finds in the headers of a room
tidy_room() {
  local room=${*: -1}
  (cd include && find "thaw/$room" -name '*.hpp' | LC_ALL=C sort | sed 's/.*/#include <&>/') >"build/tidy/$room.cpp"
  "$deps/tidy/bin/clang-tidy" --quiet "build/tidy/$room.cpp" -- "${@:1:$#-1}" >"build/tidy/$room.log" 2>&1 || {
    cat "build/tidy/$room.log" >&2
    return 1
  }
  say "$room: nothing found"
}

dev_tidy() {
  prepare python
  set_up_venv tidy 160 clang-tidy==$tidy_version
  local prefix=$torch_dir rooms flags=(-std=c++20 -DFMT_HEADER_ONLY=1 -Iinclude -Wall -Wextra -Wconversion -Wshadow)
  until [[ -d $prefix/include/torch || $prefix == / ]]; do prefix=$(dirname "$prefix"); done
  [[ $prefix == /usr ]] || flags+=(-isystem "$prefix/include") # which Clang knows
  flags+=(-isystem "$prefix/include/torch/csrc/api/include" -isystem /usr/include/opencv4) # where Debian has OpenCV 4
  flags+=(-DUSE_DISTRIBUTED -DUSE_C10D_GLOO) # as LibTorch's own CMake targets say
  mkdir -p build/tidy
  rooms=$(cd include/thaw && echo */ | tr -d /)
  [[ -e /usr/include/gloo/algorithm.h ]] || rooms=${rooms/distributed/}
  in_parallel "$rooms" tidy_room "${flags[@]}" || die "clang-tidy found something: see above"
}
