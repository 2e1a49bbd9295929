#!/usr/bin/env python3
"""What staged fine-tuning is good for: EfficientNet-lite0 from ImageNet on few images, by five arms, over several seeds.

    benchmarks/outcome.py --data DIR --weights FILE --peers PYTHON [--sign-digits DIR] [--seeds N] [--quick] [--json FILE]

benchmarks/outcome.sh gives it what ./dev fetched and built. All arms see the same images at about the same cost; for
each seed, sign-digits is split anew into 50 images of each class and all others. Seconds are the processor's, one thread, training alone. Standard library only.
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

from rows import answer

HERE = Path(__file__).resolve().parent
ARMS = {
    "recipe": "thaw, the recipe: staged, augmented, norm held, larger at last",
    "fine_tune": "thaw, `fine_tune`",
    "fastai": "fastai, `fine_tune`",
    "one_rate": "all layers at one rate, 1e-3",
    "random": "from random weights, 3e-3",
}
SIGNS = dict(size=72, larger=96, head_epochs=3, thawed_epochs=12, larger_epochs=3, fine_tune_epochs=10)
FASHION = dict(size=48, larger=64, head_epochs=3, thawed_epochs=5, larger_epochs=2, fine_tune_epochs=4)


def spread(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="the folder with fashion-mnist/")
    parser.add_argument("--weights", required=True, help="efficientnet-lite0-57934424.pth")
    parser.add_argument("--sign-digits", help="a folder for each of the ten digits")
    parser.add_argument("--peers", required=True, help="a Python that has fastai")
    parser.add_argument("--program", default=str(HERE.parent / "build/bench/benchmarks/outcome"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="an epoch of each stage, two seeds")
    parser.add_argument("--json", help="where all results go")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # so that processor time means the same everywhere

    sets = {"Fashion-MNIST, 2,000 images": dict(FASHION, data=f"{options.data}/fashion-mnist")}
    if options.sign_digits:
        sets["sign digits, 500 images"] = dict(SIGNS, data=options.sign_digits)
    else:
        print("sign digits SKIPPED: no --sign-digits")
    results = []
    with tempfile.TemporaryDirectory() as work:
        for name, job in sets.items():
            if options.quick:
                job = {key: 1 if key.endswith("epochs") else value for key, value in job.items()}
            for seed in range(1, 1 + (2 if options.quick else options.seeds)):
                job |= dict(seed=seed, weights=options.weights, images=f"{work}/images.pth")
                told = ["--job", json.dumps(job)]
                answer([options.program, "--arm", "images", *told])
                for arm in ARMS:
                    fastai = [options.peers, str(HERE / "peers/fastai_outcome.py")]
                    side = fastai if arm == "fastai" else [options.program, "--arm", arm]
                    result = answer([*side, *told])
                    results.append(dict(data=name, seed=seed, arm=arm, **result))
                    print(f"{name}, seed {seed}, {arm:10} {result['accuracy']:.4f} {result['seconds']:6.1f} s", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    for name in sets:
        print(f"\n| {name} | valid accuracy, mean | deviation | seconds |\n|---|---|---|---|")
        for arm, words in ARMS.items():
            mine = [each for each in results if (each["data"], each["arm"]) == (name, arm)]
            accuracy, seconds = ([each[key] for each in mine] for key in ("accuracy", "seconds"))
            print(f"| {words} | {statistics.mean(accuracy):.3f} | {spread(accuracy):.3f} | {statistics.median(seconds):.0f} |")


if __name__ == "__main__":
    main()
