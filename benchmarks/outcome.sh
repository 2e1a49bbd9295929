#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What staged fine-tuning is good for: many arms, several seeds, five data sets; prints the tables of docs/outcome.md.
#   benchmarks/outcome.sh --shared DIR [--seeds N] [--only SET] [--arms A,B] [--table]
# DIR has cats-dogs/, food-10/, sign-digits/ and cifar-10/: where they come from says docs/outcome.md.
set -euo pipefail
root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/..
"$root/dev" bench
"$root/dev" peers
data=$(sed -n 's/^THAW_DATA_DIR:[A-Z]*=//p' "$root/build/bench/CMakeCache.txt")
exec python3 "$root/benchmarks/outcome.py" --data "$data" --peers "$root/.deps/peers/bin/python" "$@"
