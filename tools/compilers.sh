#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# tools/compilers.sh [folder of a LibTorch]...: makes the table of docs/howto/install.md. The program of tests/package is
# compiled, linked and run by each g++ and Clang of this machine, as C++20 and as C++23. Without words: the LibTorch that
# ./dev fetched.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
warnings=(-Wall -Wextra -Wconversion -Wshadow -Werror)

# try <compiler> <standard> <LibTorch's folder> <its libraries' folder>: yes, or what went wrong
try() {
  local flags=("${warnings[@]}" -Iinclude -isystem "$3/include/torch/csrc/api/include" -DFMT_HEADER_ONLY)
  [[ $3 == /usr ]] || flags+=(-isystem "$3/include")
  case $1 in # as thaw's own build has it, for the reasons given in cmake/ThawDev.cmake
    clang*) flags+=(-Wno-sign-conversion) ;;
    *) flags+=(-Wno-maybe-uninitialized) ;;
  esac
  nice "$1" "-std=c++$2" "${flags[@]}" "$work/both.cpp" -o "$work/app" "-L$4" \
    "-Wl,-rpath,$4" -Wl,--no-as-needed -ltorch -ltorch_cpu -lc10 >"$work/log" 2>&1 || {
    grep -m 5 error "$work/log" >&2 || tail -n 5 "$work/log" >&2
    if grep -qE "ld returned|linker command failed" "$work/log"; then echo "does not link"; else echo "does not compile"; fi
    return
  }
  OMP_NUM_THREADS=1 "$work/app" >"$work/log" 2>&1 && echo yes || echo "does not run"
}

printf '#include "%s"\n' "$PWD"/tests/package/{main,second}.cpp >"$work/both.cpp" # in half the time of two files
(($#)) || set -- .deps/libtorch/torch
system=$(sed -n 's/^PRETTY_NAME="\([^"(]*\) (.*/\1/p' /etc/os-release)
printf '| Compiler | LibTorch | C++20 | C++23 | Tried on |\n|---|---|---|---|---|\n'
for compiler in $(compgen -c | grep -E '^(g\+\+|clang\+\+)-[0-9]+$' | sort -u -V); do
  name="g++ $("$compiler" -dumpfullversion 2>/dev/null)" || name="Clang $("$compiler" -dumpversion)"
  for torch; do
    torch=$(readlink -f "$torch")
    version=$(find "$torch"/{share,lib} -path '*Torch/TorchConfigVersion.cmake' -print -quit)
    version=$(sed -n 's/^set(PACKAGE_VERSION "\(.*\)")$/\1/p' "$version")
    libraries=$(dirname "$(find "$torch/lib" -name libtorch.so -print -quit)")
    printf '| %s | %s |' "$name" "$version"
    for standard in 20 2b; do # 2b: as Clang 14 calls C++23
      printf ' %s |' "$(try "$compiler" $standard "$torch" "$libraries")"
    done
    printf ' %s |\n' "$system"
  done
done
