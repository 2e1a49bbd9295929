# SPDX-License-Identifier: BSD-3-Clause
"""What regret.py and outcome.py share: five sets of images, rows that are kept, cells that are run some at a time."""

import argparse
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
SETS = ["cats-dogs", "food-10", "sign-digits", "cifar-10", "Fashion-MNIST"]


class Kept:
    """Rows in a file of JSON lines that is committed: what took hours is not run again."""

    def __init__(self, path):
        self.path = path
        self.rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        commit = ["git", "-C", path.parent, "rev-parse", "--short", "HEAD"]
        self.commit = subprocess.run(commit, capture_output=True, text=True).stdout.strip()

    def with_settings(self, settings):
        return [row for row in self.rows if settings.items() <= row.items()]

    def add(self, row):
        row = row | dict(commit=self.commit)
        self.rows.append(row)
        with self.path.open("a") as out:
            out.write(json.dumps(row) + "\n")


def per_class(name):
    """How many training images of each class; 0: all."""
    return 0 if name == "cats-dogs" else 30


def places(name, options):
    """Where a set is, and the weights."""
    data = f"{options.data}/fashion-mnist" if name == "Fashion-MNIST" else f"{options.shared}/{name}"
    return dict(data=data, weights=f"{options.data}/efficientnet-lite0-57934424.pth")


def arguments(program, seeds):
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", help="the folder with fashion-mnist/ and efficientnet-lite0-57934424.pth")
    parser.add_argument("--shared", help="the folder with cats-dogs/, food-10/, sign-digits/ and cifar-10/")
    parser.add_argument("--program", default=str(HERE.parent / "build/bench/benchmarks" / program))
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--only", help="one data set")
    parser.add_argument("--at-once", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--table", action="store_true")
    return parser


def run_all(run, cells, at_once):
    """Each by a process of one thread."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(run, cells))
