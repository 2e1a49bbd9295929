#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a rule of the LR finder costs: the best valid accuracy of a grid of rates less that at the rule's rate.

    benchmarks/regret.py --data DIR --shared DIR [--seeds N] [--only SET] [--table]

Five data sets, the head alone on a frozen body and all layers thawed, N seeds, EfficientNet-lite0. Each cell is run by
regret.cpp in a process of one thread, two at a time. Its rows go to regret.jsonl as they come, with their settings and
commit, and what is there is not run again. --table only prints the page's table.

A rule's accuracy is read off the grid at its rate: between two rates of the grid, linearly in the rate's logarithm;
beyond them, at the end. Both sides are means over the seeds that have run, so that the grid's best is not the luck of
one seed. A rule that suggests nothing counts as none. Standard library only.
"""

import json
import math
import subprocess
import tempfile
from collections import defaultdict
from statistics import mean

from few_images import HERE, SETS, Kept, arguments, per_class, places, run_all

RULES = ["before_rise", "valley", "slide", "steep", "minimum"]
STEPS = [1, 3]  # two rates a decade
RATES = {
    "thawed": [float(f"{m}e{e}") for e in (-5, -4, -3) for m in STEPS] + [1e-2],
    "frozen": [float(f"{m}e{e}") for e in (-4, -3, -2) for m in STEPS] + [1e-1],
}
SIZES = {"cats-dogs": 96, "food-10": 64, "sign-digits": 64, "cifar-10": 48, "Fashion-MNIST": 48}


def run(cell, options, kept):
    name, what, seed = cell
    settings = dict(set=name, what=what, seed=seed, size=SIZES[name], per_class=per_class(name))
    settings |= dict(epochs=5, head_epochs=10)
    mine = kept.with_settings(settings)
    rates = [rate for rate in RATES[what] if not any(row.get("rate") == rate for row in mine)]
    sweep = not any(row["kind"] == "sweep" for row in mine)
    if not rates and not sweep:
        return
    with tempfile.TemporaryDirectory() as work:
        job = settings | places(name, options) | dict(work=work, rates=rates, sweep=sweep)
        command = [options.program, "--job", json.dumps(job)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
            for line in program.stdout:
                row = settings | json.loads(line)
                kept.add(row)
                print(name, what, seed, row["kind"], row.get("rate", ""), row.get("accuracy", ""), flush=True)
        if program.returncode:
            print(f"{name}, {what}, seed {seed}: FAILED", flush=True)


def at(grid, rate):
    """The accuracy at a rate, from {rate: accuracy}."""
    known = sorted(grid)
    rate = min(max(rate, known[0]), known[-1])
    above = next(each for each in known if each >= rate)
    below = max((each for each in known if each < above), default=above)
    part = 0 if above == below else math.log(rate / below) / math.log(above / below)
    return grid[below] + part * (grid[above] - grid[below])


def table(kept):
    cells = defaultdict(lambda: defaultdict(list))
    for row in kept.rows:
        cells[row["set"], row["what"]][row["kind"]].append(row)
    lines = ["| data, what trains | seeds | best of the grid | " + " | ".join(f"`{rule}`" for rule in RULES) + " |"]
    lines.append("|---" * (3 + len(RULES)) + "|")
    regrets = defaultdict(list)
    for (name, what), kinds in sorted(cells.items(), key=lambda cell: (cell[0][1], SETS.index(cell[0][0]))):
        seeds = sorted({row["seed"] for row in kinds["rate"]} & {row["seed"] for row in kinds["sweep"]})
        grids = {seed: {r["rate"]: r["accuracy"] for r in kinds["rate"] if r["seed"] == seed} for seed in seeds}
        common = set.intersection(*(set(grid) for grid in grids.values())) if grids else set()
        if not common:
            continue
        best, best_rate = max((mean(grids[seed][rate] for seed in seeds), rate) for rate in common)
        shown = []
        for rule in RULES:
            found = {row["seed"]: row["rules"][rule]["lr"] for row in kinds["sweep"] if rule in (row["rules"] or {})}
            if set(seeds) - set(found):
                shown.append("none")
                continue
            regret = best - mean(at(grids[seed], found[seed]) for seed in seeds)
            regrets[rule].append(regret)
            rate = math.exp(mean(math.log(found[seed]) for seed in seeds))
            shown.append(f"{regret:.3f} ({rate:.0e})")
        lines.append(f"| {name}, {what} | {len(seeds)} | {best:.3f} ({best_rate:.0e}) | " + " | ".join(shown) + " |")
    for title, of in (("mean", mean), ("largest", max)):
        values = [f"{of(regrets[rule]):.3f}" if regrets[rule] else "none" for rule in RULES]
        lines.append(f"| **{title}** | | | " + " | ".join(values) + " |")
    return "\n".join(lines)


def main():
    options = arguments("regret", seeds=3).parse_args()
    kept = Kept(HERE / "regret.jsonl")
    if not options.table:
        names = [options.only] if options.only else SETS
        cells = [(n, what, seed) for seed in range(1, options.seeds + 1) for what in RATES for n in names]
        run_all(lambda cell: run(cell, options, kept), cells, options.at_once)
    print(table(kept))


if __name__ == "__main__":
    main()
