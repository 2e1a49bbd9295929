#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Builds thaw against the PyTorch of a machine with a GPU, tests it there and measures it beside PyTorch, within ten
# minutes and without a network. What was built stays in build/gpu, so that another call goes on.
#   tools/gpu.sh --pack DIR                          on a machine that ./dev has set up: takes along what thaw stands on
#   tools/gpu.sh [--deps DIR] [--out DIR] [--device cuda|cpu] [--only tests|benchmark] [--seconds N] [--jobs N]
#                [--python PYTHON] [-- option of benchmarks/gpu.py...]
# The Python must have PyTorch and torchvision; beside it there must be a C++20 compiler, CMake and Ninja, but no nvcc.
# Without OpenCV and ICU their rooms are left out. --out gets a report, logs, and the benchmark's table and rows.
set -euo pipefail
usage() { grep -v SPDX "${BASH_SOURCE[0]}" | sed -n '2,9s/^# //p' >&2 && exit 2; }
die() { echo "gpu: $*" >&2 && exit 2; }

deps='' out='' device=cuda only='' seconds=570 jobs=$(nproc) python=python3 pack='' options=()
while (($#)); do
  case $1 in
    --) options=("${@:2}") && break ;;
    --pack | --deps | --out | --device | --only | --seconds | --jobs | --python) (($# > 1)) || usage ;;
    *) usage ;;
  esac
  case $1 in
    --pack) pack=$(realpath -m "$2") ;;
    --deps) deps=$(realpath "$2") ;;
    --out) out=$(realpath -m "$2") ;;
    --device) [[ $2 =~ ^(cuda|cpu)$ ]] || usage && device=$2 ;;
    --only) [[ $2 =~ ^(tests|benchmark)$ ]] || usage && only=$2 ;;
    --seconds) seconds=$2 ;;
    --jobs) jobs=$2 ;;
    --python) python=$2 ;;
  esac
  shift 2
done
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

# ---- what is taken along -----------------------------------------------------------------------------------------------

# copy_packages <regular expression> <package...>: of Debian packages the files that match, under the pack
copy_packages() {
  local file
  for file in $(dpkg -L "${@:2}" | grep -E "$1"); do
    [[ -d $file ]] || install -D -m 644 "$file" "$pack$file"
  done
}

installed() { dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p'; }

make_pack() {
  local fmt catch2
  mapfile -t fmt < <(installed libfmt-dev 'libfmt[0-9]*') # the library too: fmt's CMake files insist
  mapfile -t catch2 < <(installed catch2 libcatch2-dev)
  mkdir -p "$pack"
  copy_packages '^/usr/(include/|.*/cmake/|.*\.so)' "${fmt[@]}"
  copy_packages '^/usr/(include/|.*/cmake/)' nlohmann-json3-dev
  copy_packages '^/usr/include/' libxxhash-dev
  if [[ -n $(installed libgloo-dev) ]]; then copy_packages '^/usr/include/' libgloo-dev; fi
  if [[ -d .deps/catch2/usr ]]; then
    cp -r .deps/catch2/usr "$pack/"
  else
    copy_packages '^/usr/(include/|.*/cmake/|.*\.a)' "${catch2[@]}"
  fi
  echo "gpu: $(du -sh "$pack" | cut -f 1) in $pack"
}

if [[ -n $pack ]]; then
  make_pack
  exit
fi

# ---- steps, each with its time -----------------------------------------------------------------------------------------

out=${out:-$PWD/build/gpu/out}
build=$PWD/build/gpu
mkdir -p "$out" "$build"
rm -f "$out"/{report.txt,build.log,tests.log,benchmark.log,table.md,rows.json,stages.jsonl}
failed=0
say() { printf '%s\n' "$*" | tee -a "$out/report.txt"; }
left() { echo $((seconds - SECONDS)); }

# step <name> <log> <seconds at most> <command...>: says how it went; a step that fails does not keep others from running
step() {
  local start=$SECONDS most=$3 rc=0
  ((most <= $(left))) || most=$(left)
  if ((most < 5)); then
    say "$1: LEFT OUT, the time is over" && failed=1
    return 1
  fi
  printf '\n== %s\n' "$1" >>"$out/$2"
  timeout --kill-after=5 "$most" "${@:4}" >>"$out/$2" 2>&1 || rc=$?
  if ((rc == 0)); then
    say "$1: ok, $((SECONDS - start)) s"
  else
    say "$1: FAILED with $rc$( ((rc != 124)) || echo ", its $most s were over"), after $((SECONDS - start)) s ($2)"
    failed=1
  fi
  return $rc
}

# ---- the machine -------------------------------------------------------------------------------------------------------

# prints its version, its CMake packages, and whether it sees a GPU
ask_torch() {
  "$python" - <<'END'
import torch
print(torch.__version__, torch.version.cuda, torch._C._GLIBCXX_USE_CXX11_ABI, sep=", ")
print(torch.utils.cmake_prefix_path)
print(torch.cuda.is_available())
END
}

machine() {
  local torch
  torch=$(ask_torch) || die "$python has no PyTorch: name another by --python"
  torch_dir=$(sed -n 2p <<<"$torch")/Torch
  say "thaw      $(git describe --always --dirty 2>/dev/null || echo "of an unknown commit")"
  say "machine   $(grep -m 1 'model name' /proc/cpuinfo | cut -d: -f2- | xargs), $(nproc) processors, $(uname -sr)"
  say "GPU       $(nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader 2>/dev/null || echo none)"
  say "PyTorch   $(sed -n 1p <<<"$torch") (version, CUDA, C++11 ABI)"
  say "compiler  $(c++ --version | head -n 1), $(cmake --version | head -n 1)"
  [[ $device == cpu || $(sed -n 3p <<<"$torch") == True ]] || die "PyTorch sees no GPU; --device cpu tries all but that"
}

# ---- build -------------------------------------------------------------------------------------------------------------

configure() {
  local found=("-DTorch_DIR=$torch_dir")
  if [[ $deps ]]; then
    found+=("-DCMAKE_PREFIX_PATH=$deps/usr" "-Dfmt_DIR=$(dirname "$(find "$deps/usr" -name fmt-config.cmake)")")
  fi
  # PyTorch 2.11's libtorch.so has a std::filesystem of its own, of which GCC 12's libstdc++ lacks a part: the system's
  # comes before it
  step configure build.log 90 cmake --preset dev -B "$build" "${found[@]}" \
    "-DCMAKE_PROJECT_INCLUDE=$PWD/cmake/CudaRuntime.cmake" -DCMAKE_EXE_LINKER_FLAGS=-Wl,--no-as-needed,-lstdc++,--as-needed \
    -DTHAW_BUILD_BENCHMARKS=ON -DTHAW_BUILD_EXAMPLES=OFF -DTHAW_INSTALL=OFF
}

# targets <regular expression>: the executables that CMake made rules for
targets() { ninja -C "$build" -t targets all | sed -n '/^cmake_/d; s/: phony$//p' | grep -xE "$1" | sort; }

# ---- tests -------------------------------------------------------------------------------------------------------------

# verdict <log>: Catch2's last word
verdict() { grep -aE '^(All tests passed|test cases:|No tests ran|All available tests)' "$1" | tail -n 1; }

# run_tests <seconds> <program...>: each alone in its own log, several at a time
run_tests() {
  local most=$1 program name rc logs
  ((most <= $(left))) || most=$(left)
  if ((most < 5)); then say "tests: LEFT OUT, the time is over" && failed=1 && return; fi
  logs=$(mktemp -d)
  for program in "${@:2}"; do
    while (($(jobs -rp | wc -l) * 2 >= jobs && $(jobs -rp | wc -l) > 0)); do wait -n || true; done
    name=${program##*/}
    { timeout --kill-after=5 "$most" "$program" >"$logs/$name" 2>&1 && rc=0 || rc=$?; echo $rc >"$logs/$name.rc"; } &
  done
  wait
  for program in "${@:2}"; do
    name=${program##*/} rc=$(<"$logs/${program##*/}.rc")
    { printf '\n== %s\n' "$name" && tail -c 500000 "$logs/$name"; } >>"$out/tests.log"
    case $rc in
      0 | 4) say "$name: ok, $(verdict "$logs/$name")" ;; # 4: all its tests were skipped
      *) say "$name: FAILED with $rc, $(verdict "$logs/$name" || true) (tests.log)" && failed=1 ;;
    esac
  done
  rm -rf "$logs"
}

# ---- all of it ---------------------------------------------------------------------------------------------------------

export TORCHINDUCTOR_CACHE_DIR=$build/inductor
PATH=$PATH:$(dirname "$(command -v "$python")") # where pip puts CMake and Ninja
if [[ $device == cuda ]]; then export THAW_TEST_DEVICE=cuda; fi
THAW_PYTHON=$(command -v "$python") # for the tests that ask one
export THAW_PYTHON
machine
configure || exit 1
mapfile -t first < <(targets 'gpu|test_device')
mapfile -t rest < <(targets 'test_.*|.*_in_processes')
[[ $only != tests ]] || first=()
[[ $only != benchmark ]] || first=(gpu) rest=()
# a target that does not compile does not keep others from it
((${#first[@]} == 0)) || step "build ${first[*]}" build.log "$seconds" ninja -C "$build" -k 0 -j "$jobs" "${first[@]}" || true
reserve=$([[ $only ]] && echo 60 || echo $((seconds * 6 / 10))) # for the tests and the benchmark
if ((${#rest[@]} > 0)); then
  step "build ${#rest[@]} test programs" build.log $(($(left) - reserve)) ninja -C "$build" -k 0 -j "$jobs" "${rest[@]}" || true
fi
programs=()
for name in "${rest[@]}"; do
  if [[ $name != test_* ]]; then
    continue # a program that tests start
  elif [[ ! -x $build/tests/$name ]]; then
    say "$name: NOT BUILT" && failed=1
  elif [[ $name == test_device ]]; then # first and alone
    run_tests 120 "$build/tests/$name"
  else
    programs+=("$build/tests/$name")
  fi
done
((${#programs[@]} == 0)) || OMP_NUM_THREADS=2 run_tests 120 "${programs[@]}"
if [[ $only != tests && -x $build/benchmarks/gpu ]]; then
  step benchmark benchmark.log "$seconds" "$python" benchmarks/gpu.py --program "$build/benchmarks/gpu" \
    --python "$python" --device "$device" --seconds $(($(left) - 20)) --out "$out/stages.jsonl" \
    --json "$out/rows.json" --markdown "$out/table.md" "${options[@]}" || true
  sed '1,/^== benchmark/d' "$out/benchmark.log" | tail -n 80 | tee -a "$out/report.txt"
fi
say "$SECONDS s, $( ((failed)) && echo FAILED || echo ok)"
exit $failed
