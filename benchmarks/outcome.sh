#!/usr/bin/env bash
# What staged fine-tuning is good for: five arms, several seeds, two data sets; prints the tables of docs/outcome.md.
#   benchmarks/outcome.sh [--sign-digits DIR] [--seeds N] [--quick] [--json FILE]
# --sign-digits is a folder for each of ten digits: github.com/ardamavi/Sign-Language-Digits-Dataset, "Dataset".
set -euo pipefail
root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..
"$root/dev" bench
"$root/dev" peers
data=$(sed -n 's/^THAW_DATA_DIR:[A-Z]*=//p' "$root/build/bench/CMakeCache.txt")
exec python3 "$root/benchmarks/outcome.py" --data "$data" --weights "$data/efficientnet-lite0-57934424.pth" \
  --peers "$root/.deps/peers/bin/python" "$@"
