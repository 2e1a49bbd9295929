#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Builds and runs every benchmark, prints their tables, and joins their rows.
#   benchmarks/run.sh [--quick] [--json FILE] [--markdown FILE]
# LibTorch is found as ./dev finds it, or by CMAKE_PREFIX_PATH. The Python peers, fastai, Lightning and torchvision, are
# installed into .deps. Ends within 15 minutes on two quiet cores once all is built; --quick leaves the peers out, and
# ends within four. whole_job.py, image_loading.py, compile_time.py and scaling take more rounds or sizes by themselves.
set -euo pipefail
usage() { grep -v SPDX "${BASH_SOURCE[0]}" | sed -n '2,6s/^# //p' >&2 && exit 2; }
quick=() join=()
while (($#)); do
  case $1 in
    --quick) quick=(--quick) ;;
    --json | --markdown) (($# > 1)) || usage && join+=("$1" "$(realpath "$2")") && shift ;;
    *) usage ;;
  esac
  shift
done
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0 # threads that spin slow the others on a small machine
./dev bench
peers=()
if ((${#quick[@]} == 0)); then
  ./dev peers
  ./dev python
  peers=(--peers .deps/peers/bin/python)
fi

# cached <name of a CMake variable>
cached() { sed -n "s/^$1:[A-Z]*=//p" build/bench/CMakeCache.txt; }
machine() {
  local torch flags
  torch=$(sed -n 's/^set(PACKAGE_VERSION "\(.*\)")$/\1/p' "$(cached Torch_DIR)/TorchConfigVersion.cmake")
  flags=$(grep -m 1 '^flags' /proc/cpuinfo | grep -owE 'avx2|fma|avx512f|avx512_bf16|avx512_fp16|amx_tile|amx_bf16' |
    sort -u | tr '\n' ' ') || true
  printf '%s\n' "CPU       $(grep -m 1 'model name' /proc/cpuinfo | cut -d: -f2- | xargs), $(nproc) processors" \
    "flags     ${flags:-none that matter}" \
    "memory    $(awk '/^MemTotal/ {printf "%.1f GiB", $2 / 1048576}' /proc/meminfo)" \
    "LibTorch  ${torch:-unknown}" \
    "compiler  $("$(cached CMAKE_CXX_COMPILER)" --version | head -n 1)" \
    "load      $(cut -d' ' -f1-3 /proc/loadavg) (1, 5, 15 minutes; numbers mean little above 0.5)"
}

rows=$(mktemp -d)
trap 'rm -rf "$rows"' EXIT
machine
done_rows=()
# bench <name> <command...>: a benchmark that is not there, or fails, is said and does not keep the others from running
failed=0
bench() {
  printf '\n== %s\n' "$1"
  if [[ ! -e $2 ]]; then
    echo "SKIPPED: there is no $2"
  elif "${@:2}" "${quick[@]}" --json "$rows/$1.json"; then
    done_rows+=("$rows/$1.json")
  else
    echo "FAILED" && failed=1
  fi
}
for name in step_overhead optimizer_step batches frozen_body layout thawed_step lr_finder; do bench $name "build/bench/benchmarks/$name"; done
bench whole_job benchmarks/whole_job.py --rounds 1 "${peers[@]}"
((${#quick[@]})) || bench image_loading benchmarks/image_loading.py --quick
bench scaling build/bench/benchmarks/scaling --quick
bench compile_time benchmarks/compile_time.py --rounds 1
echo
python3 benchmarks/rows.py "${join[@]}" "${done_rows[@]}"
exit $failed
