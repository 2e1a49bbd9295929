#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A U-Net over EfficientNet-lite0 on a few micrographs: thaw's recipe and fine_tune beside fastai's fine_tune.

    benchmarks/membrane.py --data DIR --shared DIR --peers PYTHON [--seeds N] [--arms A,B] [--table]

--data has efficientnet-lite0-57934424.pth, --shared has membrane/. For each seed, a fifth of the 30 pairs is drawn for
validation. Each arm is run by membrane.cpp, or by fastai (peers/fastai_unet.py), in a process of one thread, one at a
time, on the same network: the number of its parameters is compared. Its rows go to membrane.jsonl as they come, with
their settings and commit, and what is there is not run again. --table only prints the page's table. Standard library
only.
"""

import json
import sys
import tempfile
from statistics import mean, median, stdev

from few_images import HERE, Kept, arguments, run_all
from rows import answer

SETTINGS = dict(set="membrane", size=128, batch=8)
EPOCHS, LONGER = 10, 30  # of the whole network; half as many of the decoder come before
ARMS = {
    "recipe": "thaw, the recipe, augmented",
    "head": "its head stage alone",
    "fine_tune": "thaw, `fine_tune`",
    "fine_tune_augmented": "thaw, `fine_tune`, augmented",
    "fastai": "fastai, `fine_tune`",
    "fastai_augmented": "fastai, `fine_tune`, augmented",
    "fastai_best": "the same, its best epoch",
    "fastai_augmented_longer": f"fastai, `fine_tune`, augmented, {LONGER} epochs",
    "fastai_best_longer": "the same, its best epoch",
}
# Of whose rows these are a part.
PART_OF = {"head": "recipe", "fastai_best": "fastai_augmented", "fastai_best_longer": "fastai_augmented_longer"}


def run(cell, options, kept):
    arm, seed = cell
    settings = dict(seed=seed, arm=arm, epochs=LONGER if arm.endswith("longer") else EPOCHS, **SETTINGS)
    if arm in PART_OF or kept.with_settings(settings):
        return
    with tempfile.TemporaryDirectory() as work:
        weights = f"{options.data}/efficientnet-lite0-57934424.pth"
        places = dict(data=f"{options.shared}/membrane", weights=weights, images=f"{work}/images.pth")
        told = ["--job", json.dumps(settings | places)]
        if arm.startswith("fastai"):
            answer([options.program, "--arm", "images", *told])
            result = answer([options.peers, str(HERE / "peers/fastai_unet.py"), *told])
        else:
            result = answer([options.program, "--arm", arm, *told])
    for other in kept.with_settings(SETTINGS):
        if other["parameters"] != result["parameters"]:
            sys.exit(f"{arm} has {result['parameters']} parameters, {other['arm']} {other['parameters']}")
    kept.add(settings | result)
    print(f"{seed} {arm:24} {result['mean_iou']:.4f} {result['seconds']:6.1f} s", flush=True)


def part(arm, row):
    if arm == "head":
        return row["stages"][0]
    return row["best"] if arm.startswith("fastai_best") else row


def table(kept):
    rows = kept.with_settings(SETTINGS)
    lines = ["| membrane | seeds | mean IoU | deviation | foreground IoU | valid loss | seconds |", "|---" * 7 + "|"]
    for arm, words in ARMS.items():
        mine = [part(arm, row) for row in rows if row["arm"] == PART_OF.get(arm, arm)]
        if not mine:
            continue
        means = {key: f"{mean(row[key] for row in mine):.3f}" for key in ("mean_iou", "foreground_iou", "loss")}
        spread = f"{stdev(row['mean_iou'] for row in mine):.3f}" if len(mine) > 1 else ""
        seconds = f"{median(row['seconds'] for row in mine):.0f}" if all("seconds" in row for row in mine) else ""
        cells = [words, str(len(mine)), means["mean_iou"], spread, means["foreground_iou"], means["loss"], seconds]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    parser = arguments("membrane", seeds=3)
    parser.set_defaults(at_once=1)
    parser.add_argument("--peers", help="a Python that has fastai")
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(ARMS))
    options = parser.parse_args()
    kept = Kept(HERE / "membrane.jsonl")
    if not options.table:
        cells = [(arm, seed) for arm in options.arms for seed in range(1, options.seeds + 1)]
        run_all(lambda cell: run(cell, options, kept), cells, options.at_once)
    print(table(kept))


if __name__ == "__main__":
    main()
