#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Images from disk: thaw::vision against PyTorch's DataLoader with torchvision, each time in a process of its own.

    benchmarks/image_loading.py [--quick] [--json FILE] [--program FILE] [--torch PYTHON]

The sides take turns; medians count. What an image costs a core is the processor time of all threads and processes, which
a busy machine disturbs little; seconds are those of a pass with a worker per processor. Standard library only.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from rows import answer, row, table

HERE = Path(__file__).resolve().parent


def measured(sides, program, width, resize, count, rounds, workers):
    """{side: {what: median}} of passes over so many images of that width."""
    results = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        answer([program, "--make", folder, "--count", str(count), "--width", str(width)])
        for i in range(rounds):
            for name in list(sides)[:: 1 if i % 2 == 0 else -1]:
                result = answer([*sides[name], "--read", folder, "--workers", workers, "--resize", str(resize)])
                if result["images"] != count:
                    sys.exit(f"{name} read {result['images']} of {count} images")
                results[name].append(result)
    return {name: {key: statistics.median(each[key] for each in mine) for key in mine[0]} for name, mine in results.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a quarter of the images, one round")
    parser.add_argument("--json", help="where the rows go")
    parser.add_argument("--program", default=str(HERE.parent / "build/bench/benchmarks/image_loading"))
    parser.add_argument("--torch", default=str(HERE.parent / ".deps/python/bin/python"), help="a Python with torchvision")
    options = parser.parse_args()
    count, rounds = (256, 1) if options.quick else (1024, 5)
    workers = str(os.cpu_count())
    sides = {"thaw": [options.program], "PyTorch": [options.torch, str(HERE / "peers/torch_images.py")]}
    rows = []
    for width, resize, most in ((500, 0, 1), (500, 128, 0.5), (160, 128, 1)):
        what = f"{width} x {width * 3 // 4} to {resize} px" if resize else f"a part of {width} x {width * 3 // 4} at 224 px"
        medians = measured(sides, options.program, width, resize, count, rounds, workers)
        ours, theirs = medians["thaw"], medians["PyTorch"]
        print(f"{count} JPEGs, {what}, {workers} workers, rounds {rounds}")
        for name, each in medians.items():
            per_core, per_second = count / each["cpu_seconds"], count / each["seconds"]
            print(f"  {name:8}{per_core:7.0f} images a second and core, {per_second:7.0f} a second")
        times = [1e3 * each["cpu_seconds"] / count for each in (ours, theirs)]
        rows.append(row(f"an image, {what}: processor time", *times, "ms", most))
        rows.append(row(f"  a pass with {workers} workers", ours["seconds"], theirs["seconds"], "s"))
    print("\n" + table(rows) + "\n")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
