#!/usr/bin/env bash
# Builds and runs every benchmark, prints their tables, and joins their rows.
#   benchmarks/run.sh [--quick] [--json FILE]        LibTorch is found as ./dev finds it, or by CMAKE_PREFIX_PATH
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
quick=() json=''
while (($#)); do
  case $1 in
    --quick) quick=(--quick) ;;
    --json) json=$2 && shift ;;
    *) sed -n '2,3s/^# //p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
  esac
  shift
done
export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=0 # threads that spin slow the others on a small machine
./dev bench
rows=$(mktemp -d)
trap 'rm -rf "$rows"' EXIT
grep -m 1 'model name' /proc/cpuinfo || true
for name in step_overhead optimizer_step batches frozen_body; do
  printf '\n== %s\n' "$name"
  "build/bench/benchmarks/$name" "${quick[@]}" --json "$rows/$name.json"
done
if [[ -n $json ]]; then
  python3 -c 'import json, sys; print(json.dumps(sum((json.load(open(f)) for f in sys.argv[1:]), []), indent=2))' \
    "$rows"/*.json >"$json"
fi
