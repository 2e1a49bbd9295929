#!/usr/bin/env python3
"""What a rule of the LR finder costs: the best valid accuracy of a grid of rates less that at the rule's rate.

    benchmarks/regret.py --data DIR --shared DIR [--seeds N] [--only SET] [--table]

Five data sets, the head alone on a frozen body and all layers thawed, N seeds, EfficientNet-lite0. Each cell is run by
regret.cpp in a process of one thread, two at a time. Its rows go to regret.jsonl as they come, with their settings and
commit, and what is there is not run again. --table only prints the page's table.

A rule's accuracy is read off the grid at its rate: between two rates of the grid, linearly in the rate's logarithm;
beyond them, at the end. Both sides are means over the seeds that have run, so that the grid's best is not the luck of
one seed. A rule that suggests nothing counts as none. Standard library only.
"""

import argparse
import json
import math
import os
import subprocess
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean

HERE = Path(__file__).resolve().parent
ROWS = HERE / "regret.jsonl"
RULES = ["before_rise", "valley", "slide", "steep", "minimum"]
STEPS = [1, 3]  # two rates a decade
RATES = {
    "thawed": [float(f"{m}e{e}") for e in (-5, -4, -3) for m in STEPS] + [1e-2],
    "frozen": [float(f"{m}e{e}") for e in (-4, -3, -2) for m in STEPS] + [1e-1],
}
SIZES = {"cats-dogs": 96, "food-10": 64, "sign-digits": 64, "cifar-10": 48, "Fashion-MNIST": 48}
SETTINGS = ("set", "what", "seed", "size", "per_class", "epochs", "head_epochs")


def rows():
    return [json.loads(line) for line in ROWS.read_text().splitlines()] if ROWS.exists() else []


def key(row):
    return tuple(row[name] for name in SETTINGS)


def run(cell, options, done, out):
    name, what, seed = cell
    cell = dict(set=name, what=what, seed=seed, size=SIZES[name], per_class=0 if name == "cats-dogs" else 30)
    cell |= dict(epochs=5, head_epochs=10)
    mine = [row for row in done if key(row) == key(cell)]
    rates = [rate for rate in RATES[what] if not any(row.get("rate") == rate for row in mine)]
    sweep = not any(row["kind"] == "sweep" for row in mine)
    if not rates and not sweep:
        return
    folder = f"{options.data}/fashion-mnist" if name == "Fashion-MNIST" else f"{options.shared}/{name}"
    weights = f"{options.data}/efficientnet-lite0-57934424.pth"
    with tempfile.TemporaryDirectory() as work:
        job = dict(cell, data=folder, weights=weights, work=work, rates=rates, sweep=sweep)
        command = [options.program, "--job", json.dumps(job)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
            for line in program.stdout:
                row = cell | dict(commit=options.commit) | json.loads(line)
                out.write(json.dumps(row) + "\n")
                out.flush()
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


def table():
    cells = defaultdict(lambda: defaultdict(list))
    for row in rows():
        cells[row["set"], row["what"]][row["kind"]].append(row)
    lines = ["| data, what trains | seeds | best of the grid | " + " | ".join(f"`{rule}`" for rule in RULES) + " |"]
    lines.append("|---" * (3 + len(RULES)) + "|")
    regrets = defaultdict(list)
    for (name, what), kinds in sorted(cells.items(), key=lambda cell: (cell[0][1], list(SIZES).index(cell[0][0]))):
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
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", help="the folder with fashion-mnist/ and efficientnet-lite0-57934424.pth")
    parser.add_argument("--shared", help="the folder with cats-dogs/, food-10/, sign-digits/ and cifar-10/")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="one data set")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--program", default=str(HERE.parent / "build/bench/benchmarks/regret"))
    options = parser.parse_args()
    if not options.table:
        os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        git = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
        options.commit = git.stdout.strip()
        names = [options.only] if options.only else list(SIZES)
        cells = [(n, what, seed) for seed in range(1, options.seeds + 1) for what in RATES for n in names]
        done = rows()
        with ROWS.open("a") as out, ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda cell: run(cell, options, done, out), cells))
    print(table())


if __name__ == "__main__":
    main()
