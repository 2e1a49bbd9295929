#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Staged fine-tuning on a GPU: thaw beside PyTorch, eager and compiled, on the same machine; one table at the end.

    cmake --build build/bench --target gpu
    benchmarks/gpu.py [--python PYTHON] [--models resnet34,vit_b_16] [--precisions bfloat16,full,float16] ...

Each side is a process that stays: gpu.cpp, and peers/gpu_job.py with fused AdamW, by a Python that has PyTorch and
torchvision (--python). A case is a network, a precision, and where its images are when a step begins: on the device, or
on the host, from where a thread brings them through pinned memory. Of each case all sides read the same weights, must
agree on the loss of the first batch, run every stage once to warm up, and then take turns stage by stage, another side
first each round; medians count. Where the time ends (--seconds), what is left is left out, and that is said.

TF32 is as PyTorch has it by default on all sides: on in convolutions, off in matrix products. Memory is the most that
the caching allocator gave out in a stage, without the data set. Standard library only.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import aligned, row

HERE = Path(__file__).resolve().parent
STAGES = ("head", "thawed", "finder")
AGREE = dict(full=1e-3, bfloat16=3e-2, float16=1e-2)  # relative, of a loss
HEADERS = ["", "unit", "thaw", "eager", "ratio", "compile", "ratio", "MB: thaw", "eager", "compile"]


class Failed(Exception):
    pass


class Side:
    """A process that answers lines; `down` says why it answers no more."""

    def __init__(self, name, command):
        self.name, self.down, self.ready = name, None, False
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            while line and not line.startswith("{"):  # a library's
                line = self.process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            self.down = f"ended with {self.process.wait()}"
            raise Failed(self.down)
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Case:
    def __init__(self, job, sides, say):
        self.job, self.say = job, say
        self.name = f"{job['model']}, {job['precision']}" + (", from the host" if job["data"] == "host" else "")
        self.sides = [side for side in sides if not side.down]
        self.turns = {(side.name, stage): [] for side in sides for stage in STAGES}
        self.warm_up, self.losses = {}, {}
        self.took = {side.name: 0.0 for side in sides}

    def attempt(self, side, request):
        """The answer; a side that fails is out of this case."""
        start = time.perf_counter()
        try:
            return side.ask(request)
        except Failed as error:
            self.say(f"  {side.name} FAILED: {str(error)[:500]}")
            self.sides.remove(side)
        finally:
            self.took[side.name] += time.perf_counter() - start

    def prepare(self, stages):
        for side in list(self.sides):
            self.attempt(side, dict(job=self.job))
        for side in list(self.sides):
            if answer := self.attempt(side, dict(stage="check")):
                self.losses[side.name] = answer["loss"]
        for side in list(self.sides):
            before = self.took[side.name]
            for stage in stages:
                if stage != "finder" and side in self.sides:  # it does what the thawed stage does
                    self.attempt(side, dict(stage=stage))
            self.warm_up[side.name] = self.took[side.name] - before
        self.say("  warm-up: " + ", ".join(f"{name} {took:.1f} s" for name, took in self.warm_up.items()))
        self.say("  loss of the first batch: " + ", ".join(f"{n} {loss:.5f}" for n, loss in self.losses.items()))

    def agrees(self):
        losses = list(self.losses.values())
        return all(math.isclose(losses[0], each, rel_tol=AGREE[self.job["precision"]]) for each in losses[1:])

    def round(self, number, stages):
        for stage in stages:
            at = number % max(1, len(self.sides))
            for side in self.sides[at:] + self.sides[:at]:
                if answer := self.attempt(side, dict(stage=stage)):
                    self.turns[side.name, stage].append(answer)

    def median(self, name, stage, what):
        values = [turn[what] for turn in self.turns.get((name, stage), []) if turn.get(what) is not None]
        return statistics.median(values) if values else None

    def results(self):
        """For each stage that thaw ran: names, units and numbers, milliseconds a step or a finder's seconds."""
        for stage in STAGES:
            if self.median("thaw", stage, "seconds") is None:
                continue
            unit, scale = ("s", 1) if stage == "finder" else ("ms", 1000 / self.job["steps"])
            what = "LR finder" if stage == "finder" else f"{stage}, a step"
            timed = {n: self.median(n, stage, "seconds") for n in ("thaw", "eager", "compile")}
            yield dict(
                name=f"{self.name}: {what}",
                case=self.job,
                stage=stage,
                unit=unit,
                time={n: t * scale for n, t in timed.items() if t is not None},
                peak_mb={n: p for n in timed if (p := self.median(n, stage, "peak_mb")) is not None},
                images_per_second={
                    n: self.turns[n, stage][0]["steps"] * self.job["batch"] / t for n, t in timed.items() if t is not None
                },
                turns={n: [turn["seconds"] for turn in self.turns[n, stage]] for n in timed if timed[n] is not None},
                losses={n: self.turns[n, stage][-1]["loss"] for n in timed if timed[n] is not None},
                warm_up_s=self.warm_up,
            )


def cells(result):
    def number(numbers, name):
        return f"{numbers[name]:.4g}" if name in numbers else "-"

    def ratio(other):
        return f"{result['time']['thaw'] / result['time'][other]:.2f}x" if other in result["time"] else "-"

    times = [number(result["time"], "thaw")]
    for other in ("eager", "compile"):
        times += [number(result["time"], other), ratio(other)]
    return [result["name"], result["unit"], *times, *(number(result["peak_mb"], n) for n in ("thaw", "eager", "compile"))]


def table(results):
    return aligned([HEADERS, *map(cells, results)], right=range(2, len(HEADERS)))


def markdown(results):
    lines = ["| " + " | ".join(HEADERS) + " |", "|---" * len(HEADERS) + "|"]
    return "\n".join(lines + ["| " + " | ".join(cells(each)) + " |" for each in results]) + "\n"


def rows(results):
    """As rows.py joins them: at most as long as eager, compiled for information."""
    joined = []
    for each in results:
        for other, limit in (("eager", 1), ("compile", None)):
            if other in each["time"]:
                name, other_is = each["name"], "PyTorch eager" if other == "eager" else "torch.compile"
                joined.append(row(f"{name}, {other_is}", each["time"]["thaw"], each["time"][other], each["unit"], limit))
    return joined


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(HERE.parent / "build/bench/benchmarks/gpu"))
    parser.add_argument("--python", default="python3", help="one that has PyTorch and torchvision")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", default="resnet34,vit_b_16", type=lambda s: s.split(","))
    parser.add_argument("--precisions", default="bfloat16,full,float16", type=lambda s: s.split(","))
    parser.add_argument("--data", default="device,host", type=lambda s: s.split(","))
    parser.add_argument("--stages", default=",".join(STAGES), type=lambda s: s.split(","))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=50, help="of the head stage and of the thawed one")
    parser.add_argument("--finder-steps", type=int, default=100)
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", default="default", metavar="MODE", help="torch.compile's; none: leave it out")
    parser.add_argument("--cudnn-benchmark", action="store_true", help="let cuDNN try its algorithms, on all sides")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no round after so many")
    parser.add_argument("--out", type=Path, help="a line of JSON for each stage of each case")
    parser.add_argument("--json", type=Path, help="rows for rows.py")
    parser.add_argument("--markdown", type=Path, help="the table")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds

    def say(text):
        print(text, flush=True)

    job_program = str(HERE / "peers/gpu_job.py")
    sides = [Side("eager", [options.python, job_program])]  # the first writes the weights
    sides.append(Side("thaw", [options.program]))
    if options.compile != "none":
        sides.append(Side("compile", [options.python, job_program, "--compile", options.compile]))
    common = dict(device=options.device, batch=options.batch, steps=options.steps, pixels=options.pixels)
    common |= dict(finder_steps=options.finder_steps, cudnn_benchmark=options.cudnn_benchmark)
    jobs = [
        dict(common, model=model, precision=precision, data=data)
        for precision in options.precisions
        for data in options.data
        for model in options.models
    ]
    results, bad, plain, compiled = [], [], 0, 0  # and what a case took at most, but for the compiled side, and that one
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs:
            left = end - time.monotonic()
            # images from the host are no matter of compiling
            compiles = job["data"] == "device" and left > 1.2 * (plain + compiled)
            there = [side for side in sides if side.name != "compile" or compiles]
            case = Case(dict(job, weights=f"{folder}/{job['model']}.pt"), there, say)
            if left < 1.2 * plain:
                say(f"{case.name}: LEFT OUT, {max(left, 0):.0f} s are left")
                continue
            say(case.name + ("" if len(there) == len(sides) else " (not compiled)"))
            start = time.monotonic()
            case.prepare(options.stages)
            if not case.agrees():
                bad.append(case.name + ": the sides compute other losses")
            rounds = 0
            while rounds < options.rounds and (rounds == 0 or time.monotonic() < end):
                case.round(rounds, options.stages)
                rounds += 1
            compiled = max(compiled, case.took.pop("compile", 0))
            plain = max(plain, sum(case.took.values()))
            say(f"  {rounds} rounds, {time.monotonic() - start:.0f} s")
            if not {"thaw", "eager"} <= {side.name for side in case.sides}:
                bad.append(case.name + ": a side failed")
            results += case.results()
            if options.out:  # after each case, so that a time limit from outside leaves what was measured
                options.out.write_text("".join(json.dumps(each) + "\n" for each in results))
            if options.json:
                options.json.write_text(json.dumps(rows(results), indent=2) + "\n")
            if options.markdown:
                options.markdown.write_text(markdown(results))
    for side in sides:
        side.close()
    say(f"\nbatches of {options.batch} at {options.pixels} px, {options.steps} steps a stage\n\n{table(results)}\n")
    for each in bad:
        say(f"BAD: {each}")
    sys.exit(bool(bad) or not results)


if __name__ == "__main__":
    main()
