#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the whole job by every side, each time in a process of its own, and makes the table.

    benchmarks/whole_job.py [--quick] [--rounds N] [--recompute] [--json FILE] [--program FILE] [--peers PYTHON]

thaw against the loop by hand (whole_job.cpp), and against fastai and Lightning (peers/) where --peers names a Python
that has them; --recompute adds thaw with activations recomputed. The sides take turns, another one first each round;
medians count. Standard library only.
"""

import argparse
import json
import os
import statistics
from pathlib import Path

from rows import answer, row, table

HERE = Path(__file__).resolve().parent
JOB = dict(images=256, pixels=128, batch=32, head_epochs=5, finder_steps=20, thawed_epochs=3)
QUICK = dict(JOB, images=64, finder_steps=4)
HAND, HAND_LAST, RECOMPUTED = "by hand", "by hand, channels-last", "recomputed"
STAGES = ("head", "finder", "thawed", "total")


def measured(sides, job, rounds):
    """{side: {what: median}}, `what` being the stages' seconds and the peak of memory."""
    results = {name: [] for name in sides}
    names = list(sides)
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            result = answer([*sides[name], "--job", json.dumps(job)])
            results[name].append({**result["stages"], "peak": result["peak_mb"]})
            print(f"  {name:24}{result['stages']['total']:8.1f} s{result['peak_mb']:8.0f} MB  last losses", end=" ")
            print(", ".join(f"{stage} {loss:.3g}" for stage, loss in result["losses"].items()), flush=True)
    return {name: {what: statistics.median(r[what] for r in each) for what in each[0]} for name, each in results.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a quarter of the images, one round")
    parser.add_argument("--rounds", type=int, help="3; with --quick 1")
    parser.add_argument("--recompute", action="store_true", help="another side: thaw, activations recomputed")
    parser.add_argument("--json", help="where the rows go")
    parser.add_argument("--program", default=str(HERE.parent / "build/bench/benchmarks/whole_job"))
    parser.add_argument("--peers", help="a Python that has them: ./dev peers makes .deps/peers/bin/python")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    job, rounds = (QUICK, 1) if options.quick else (JOB, 3)
    rounds = options.rounds or rounds

    sides = {"thaw": [options.program, "--side", "thaw"]}
    sides[HAND] = [options.program, "--side", "hand"]
    sides[HAND_LAST] = [options.program, "--side", "hand_channels_last"]
    if options.peers:
        sides["fastai"] = [options.peers, str(HERE / "peers/fastai_job.py")]
        sides["Lightning"] = [options.peers, str(HERE / "peers/lightning_job.py")]
    else:
        print("fastai and Lightning SKIPPED: no --peers")
    others = list(sides)[1:]
    if options.recompute:
        sides[RECOMPUTED] = [options.program, "--side", "thaw_recompute"]
    print(", ".join(f"{name} {value}" for name, value in job.items()) + f"; rounds {rounds}")
    medians = measured(sides, job, rounds)

    rows = []
    ours = medians["thaw"]
    for name in others:
        for stage in STAGES:
            what = "whole job" if stage == "total" else f"  {stage} stage" if stage != "finder" else "  LR finder"
            rows.append(row(f"{what}, {name}", ours[stage], medians[name][stage], "s", 1 if stage == "total" else None))
        rows.append(row(f"  peak memory, {name}", ours["peak"], medians[name]["peak"], "MB", 0.7 if name == "fastai" else None))
    if options.recompute:
        recomputed = medians[RECOMPUTED]
        rows.append(row("whole job, activations recomputed, plain", recomputed["total"], ours["total"], "s"))
        rows.append(row("  peak memory, plain", recomputed["peak"], ours["peak"], "MB"))
        if options.peers:
            rows.append(row("  peak memory, fastai", recomputed["peak"], medians["fastai"]["peak"], "MB", 0.7))
    print("\n" + table(rows) + "\n")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
