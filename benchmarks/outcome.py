#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What staged fine-tuning is good for: EfficientNet-lite0 from ImageNet on few images, by many arms, over several seeds.

    benchmarks/outcome.py --data DIR --shared DIR --peers PYTHON [--seeds N] [--only SET] [--arms A,B] [--table]

benchmarks/outcome.sh gives it what ./dev fetched and built. Five sets of images, those of regret.py; all arms are told
of the same images and validated on the same, at the same largest size. Each arm is run by outcome.cpp, or by fastai
(peers/fastai_outcome.py), in a process of one thread, two at a time. Its rows go to outcome.jsonl as they come, with
their settings and commit, and what is there is not run again. --table only prints the page's tables. Seconds are the
processor's, of training and all that is chosen for it. Standard library only.
"""

import json
import tempfile
from statistics import mean, median, stdev

from few_images import HERE, SETS, Kept, arguments, per_class, places, run_all
from rows import answer

SETTINGS = dict(sizes=[96, 128], epochs=5)
ARMS = {
    "recipe": "the recipe",
    "no_line": "without the line between head and end, at `before_rise`",
    "before_rise": "at the finder's `before_rise`, not its `edge`",
    "no_augmentation": "without augmentation",
    "small": "at the smaller size, 96",
    "head_by_finder": "the head at the finder's rate, 3 epochs",
    "one_rate_thawed": "one rate for all groups, once thawed",
    "norm_trains": "norm layers train, once thawed",
    "towards_pretrained": "+ decay towards the pretrained weights (L2-SP)",
    "gradual": "+ gradual unfreezing",
    "smaller_first": "+ smaller images first",
    "head": "its head alone",
    "fine_tune": "thaw, `fine_tune`",
    "fastai_fine_tune": "fastai, `fine_tune`",
    "fastai_valley": "fastai, `fit_one_cycle` at `valley`, frozen then thawed",
    "one_rate": "all layers at one rate, 1e-3",
    "random": "from random weights, 3e-3",
}


def run(cell, options, kept):
    arm, name, seed = cell
    settings = dict(set=name, seed=seed, arm=arm, per_class=per_class(name), **SETTINGS)
    if arm == "head" or kept.with_settings(settings):  # the recipe's rows have its head
        return
    with tempfile.TemporaryDirectory() as work:
        job = settings | places(name, options) | dict(work=work, images=f"{work}/images.pth")
        told = ["--job", json.dumps(job)]
        if arm.startswith("fastai"):
            answer([options.program, "--arm", "images", *told])
            result = answer([options.peers, str(HERE / "peers/fastai_outcome.py"), *told])
        else:
            result = answer([options.program, "--arm", arm, *told])
    kept.add(settings | result)
    print(f"{name:14} {seed} {arm:20} {result['accuracy']:.4f} {result['seconds']:6.1f} s", flush=True)


def reached(row, accuracy):
    """Seconds until a recipe's stage ended with at least this accuracy."""
    return next((stage["seconds"] for stage in row["stages"] if stage["accuracy"] >= accuracy), None)


def head_of(row):
    """What a recipe's first stage ended with."""
    return row | {key: row["stages"][0][key] for key in ("accuracy", "seconds")}


def table(head, lines):
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines])


def tables(kept):
    found = {(row["set"], row["arm"], row["seed"]): row for row in kept.with_settings(SETTINGS)}
    found |= {(name, "head", seed): head_of(row) for (name, arm, seed), row in found.items() if arm == "recipe"}
    accuracies, differences, reaches = [], [], []
    for arm, words in ARMS.items():
        of_arm = {name: {s: r for (n, a, s), r in found.items() if (n, a) == (name, arm)} for name in SETS}
        if not any(of_arm.values()):
            continue
        cells, beside = [words], [words]
        for name, rows in of_arm.items():
            values = [row["accuracy"] for row in rows.values()]
            both = [
                row["accuracy"] - found[name, "recipe", seed]["accuracy"]
                for seed, row in rows.items()
                if (name, "recipe", seed) in found
            ]
            deviation = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.3f}{deviation} ({len(values)})" if values else "")
            beside.append(f"{mean(both):+.3f}" if both else "")
        seconds = [row["seconds"] for rows in of_arm.values() for row in rows.values()]
        accuracies.append([*cells, f"{median(seconds):.0f}"])
        if arm != "recipe":
            differences.append(beside)
    for name in SETS:
        times = []
        for (one, arm, seed), row in found.items():
            peer = found.get((name, "fastai_fine_tune", seed))
            if (one, arm) == (name, "recipe") and peer:
                times.append((reached(row, peer["accuracy"]), peer["seconds"]))
        if times:
            ours = "never" if any(x is None for x, _ in times) else f"{median(x for x, _ in times):.0f}"
            reaches.append([name, str(len(times)), ours, f"{median(x for _, x in times):.0f}"])
    return "\n\n".join([table(["valid accuracy", *SETS, "seconds"], accuracies),
                        table(["less the recipe's, same seeds", *SETS], differences),
                        table(["seconds to fastai's final accuracy", "seeds", "the recipe", "fastai"], reaches)])


def main():
    parser = arguments("outcome", seeds=5)
    parser.add_argument("--peers", help="a Python that has fastai")
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(ARMS))
    options = parser.parse_args()
    kept = Kept(HERE / "outcome.jsonl")
    if not options.table:
        names = [options.only] if options.only else SETS
        cells = [(arm, name, seed) for seed in range(1, options.seeds + 1) for arm in options.arms for name in names]
        run_all(lambda cell: run(cell, options, kept), cells, options.at_once)
    print(tables(kept))


if __name__ == "__main__":
    main()
