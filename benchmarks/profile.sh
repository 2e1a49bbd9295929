#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Instructions per step of the loop, thaw's Learner beside the loop by hand of step_overhead.cpp, by function: callgrind
# counts a run of 2 passes of 100 steps and one of 7 for each side, and the difference leaves start-up out.
#   ./dev bench && benchmarks/profile.sh [LINES]          needs valgrind; takes a few minutes
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."
lines=${1:-25}
counts=$(mktemp -d)
trap 'rm -rf "$counts"' EXIT
export OMP_NUM_THREADS=1
for side in thaw hand; do
  for passes in 2 7; do
    valgrind --tool=callgrind --callgrind-out-file="$counts/$side.$passes" \
      build/bench/benchmarks/step_overhead --alone "$side" "$passes" 2>/dev/null
    callgrind_annotate --threshold=100 --show-percs=no "$counts/$side.$passes" >"$counts/$side.$passes.txt"
  done
done
python3 - "$counts" "$lines" <<'END'
import collections, re, sys

folder, lines, steps = sys.argv[1], int(sys.argv[2]), 500


def count(side, passes):
    result = collections.Counter()
    for line in open(f"{folder}/{side}.{passes}.txt"):
        found = re.match(r"\s*([\d,]+)\s+\S+?:(.*?)(?: \[[^]]*\])?$", line)
        if found:
            result[found[2].replace("'2", "")] += int(found[1].replace(",", ""))
    return result


def per_step(side):
    long, short = count(side, 7), count(side, 2)
    return {name: (long[name] - short[name]) / steps for name in long | short}


thaw, hand = per_step("thaw"), per_step("hand")
total, other = sum(thaw.values()), sum(hand.values())
print(f"instructions per step: thaw {total:,.0f}, by hand {other:,.0f}, difference {total - other:,.0f}\n")
print(f"{'thaw':>9} {'by hand':>9} {'more':>8}")
more = {name: thaw.get(name, 0) - hand.get(name, 0) for name in thaw | hand}
for name in sorted(more, key=lambda name: -abs(more[name]))[:lines]:
    print(f"{thaw.get(name, 0):9,.0f} {hand.get(name, 0):9,.0f} {more[name]:8,.0f}  {name[:110]}")
END
