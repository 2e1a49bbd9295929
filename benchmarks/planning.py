#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a stage of fine-tuning costs in n processes: docs/planning.md explains the model.   Standard library only.

    planning.py                            fits benchmarks/planning.jsonl, and prints every table of the page
    planning.py --measured FILE            fits other rows, of benchmarks/planning.sh
    planning.py --page docs/planning.md    and puts the tables into it; --page with --check: whether they are in it
    planning.py --check                    the arithmetic, against what was computed by hand

Seconds, bytes and floating-point operations everywhere.
"""

import argparse
import json
import sys
from collections import namedtuple
from math import ceil, inf, log2
from pathlib import Path

MIB = 1 << 20
PROCESSORS = 2  # of the machine that measured
SUMS_A_STEP = 3  # Learner: planning.jsonl has the count
SHORT = 8192  # bytes that Processes::sum sends to all at once
FIRST_BUCKET, BUCKET = 1 * MIB, 25 * MIB  # c10d's Reducer


# ---- the model ----------------------------------------------------------------------------------------------------


def ring(n, size, alpha, bandwidth):
    """An all-reduce of `size` bytes over a ring (Thakur et al. 2005): 2 (n - 1) messages, one after the other."""
    return 0 if n == 1 else 2 * (n - 1) * alpha + 2 * (n - 1) / n * size / bandwidth


def short(n, size, alpha, bandwidth, each):
    """The same of up to SHORT bytes, sent by everybody to everybody at once: two processes take alpha, a message there
    and its answer; each further one is a message more to send and to read."""
    return 0 if n == 1 else alpha + (n - 2) * each + (n - 1) * size / bandwidth


def tree(n, alpha):
    """A small all-reduce up and down a binary tree."""
    return 0 if n == 1 else 2 * ceil(log2(n)) * alpha


def hierarchical(n, size, inside, outside, a_node=8):
    """Scattered sums within a node, an all-reduce of each part between the nodes, and the parts gathered again.
    `inside`, `outside`: (seconds a message, bytes a second) of each GPU; messages go along trees."""
    if n == 1:
        return 0
    here, nodes = min(n, a_node), ceil(n / a_node)
    within = tree(here, inside[0]) + 2 * (here - 1) / here * size / inside[1]
    between = 0 if nodes == 1 else tree(nodes, outside[0]) + 2 * (nodes - 1) / nodes * size / here / outside[1]
    return within + between


def buckets_of(sizes, first=FIRST_BUCKET, most=BUCKET):
    """How c10d's Reducer fills buckets with gradients of these bytes, in the order they come in: how many each."""
    result, count, filled = [], 0, 0
    for size in sizes:
        count, filled = count + 1, filled + size
        if filled >= (most if result else first):
            result.append(count)
            count = filled = 0
    return result + [count] if count else result


def exposed(ready, sending, backward):
    """What sending adds to a backward pass: each bucket is sent when it is ready and the one before it has gone."""
    end = 0
    for at, seconds in zip(ready, sending):
        end = max(end, at) + seconds
    return max(0, end - backward)


class Network:
    """A row of `planning table`. What is said of a suffix is said of its last `thawed` groups."""

    def __init__(self, row):
        self.name, self.size, self.groups = row["network"], row["size"], row["groups"]
        self.parameters, self.kept, self.norms = row["parameters"], row["kept"], row["norms"]
        self.feature, self.input = row["feature"], row["input"]

    def at(self, size):
        """Operations at another image size go as its square."""
        scaled = Network.__new__(Network)
        scaled.__dict__.update(self.__dict__)
        scaled.size = size
        scaled.parameters = [
            [g, n, f * (size / self.size) ** 2] if g < len(self.groups) - 1 else [g, n, f]
            for g, n, f in self.parameters
        ]
        return scaled

    def suffix(self, thawed):
        return [p for p in self.parameters if p[0] >= len(self.groups) - thawed]

    def trained(self, thawed):
        return sum(numel for _, numel, _ in self.suffix(thawed))

    def operations(self, thawed):
        """(forward of the frozen part, forward and backward of the rest) for one sample. Backward takes one forward
        for the weights' gradients and one for the inputs', which the first layer that trains needs none of."""
        suffix = [f for _, _, f in self.suffix(thawed)]
        frozen = sum(f for _, _, f in self.parameters) - sum(suffix)
        return frozen, 3 * sum(suffix) - next(f for f in suffix if f > 0)

    def buckets(self, thawed):
        """(bytes, the part of backward after which it is ready) of each bucket of gradients."""
        order = self.suffix(thawed)[::-1]
        total, done, result = sum(f for _, _, f in order), 0, []
        counts = iter(buckets_of([4 * numel for _, numel, _ in order]))
        count, size = next(counts), 0
        for i, (_, numel, f) in enumerate(order):
            size, done, count = size + 4 * numel, done + f, count - 1
            if count == 0:
                result.append((size, done / total))
                count, size = next(counts, 0), 0
        return result


Step = namedtuple("Step", "frozen trained optimizer copies exposed sums")


def step(net, thawed, batch, n, machine, all_reduce, small, share=1, sums=SUMS_A_STEP):
    """The seconds of a step's parts. `batch`: samples a process; `all_reduce(bytes)`, `small`: seconds.
    `share`: how many processes a processor has."""
    frozen, trained = net.operations(thawed)
    forward = share * batch * frozen * machine.frozen
    both = share * batch * trained * machine.trained
    numel = net.trained(thawed)
    if n == 1:
        return Step(forward, both, share * numel * machine.optimizer, 0, 0, 0)
    copies = share * 4 * numel * machine.copies
    backward = both * 2 / 3 + copies
    buckets = net.buckets(thawed)
    over = exposed([part * backward for _, part in buckets], [all_reduce(size) for size, _ in buckets], backward)
    return Step(forward, both, share * numel * machine.optimizer, copies, over, sums * small)


# frozen, trained: seconds an operation; optimizer: seconds a parameter; copies: seconds a byte of gradients, which the
# Reducer copies into a bucket, divides and copies back
Machine = namedtuple("Machine", "frozen trained optimizer copies")


# ---- the fit ------------------------------------------------------------------------------------------------------


def least_squares(rows):
    """x, y of the smallest sum of ((a x + b y - t) / t)^2 over rows (a, b, t)."""
    aa = sum(a * a / t / t for a, _, t in rows)
    ab = sum(a * b / t / t for a, b, t in rows)
    bb = sum(b * b / t / t for _, b, t in rows)
    at, bt = sum(a / t for a, _, t in rows), sum(b / t for _, b, t in rows)
    det = aa * bb - ab * ab
    return (at * bb - bt * ab) / det, (bt * aa - at * ab) / det


def median(values):
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def rate_of(link):
    """Bytes a second of "1000 Mbit/s"; None for a link that has no limit."""
    return float(link.split()[0]) * 125e3 if link.endswith("Mbit/s") else None


class Fit:
    """The constants, from the rows that `of` names; all other rows are for validation alone."""

    def __init__(self, rows):
        self.rows = rows
        self.networks = {r["network"]: Network(r) for r in rows if r["what"] == "network"}
        self.alpha, self.bandwidth = {}, {}
        for link in ("loopback", "1000 Mbit/s"):
            sums = self.of("sum", processes=2, link=link)
            # Changed after errors were seen: tc lets a burst through, so that a fit to all sizes finds more than the
            # link's rate. Messages by the small ones, bandwidth by the large ones.
            small = [r["least"] for r in sums if r["bytes"] <= 4096]
            large = [r["bytes"] / r["least"] for r in sums if r["bytes"] >= 4 * MIB]
            self.alpha[link], self.bandwidth[link] = sum(small) / len(small), sum(large) / len(large)
        eight = self.one("sum", processes=8, bytes=40)
        self.each = (eight["least"] - self.alpha["loopback"]) / (6 * 8 / PROCESSORS)
        self.efficiency = self.bandwidth["1000 Mbit/s"] / rate_of("1000 Mbit/s")
        self.clock = median(r["least"] / r["processor"] for r in self.of("step", link="alone"))
        self.machines = {}
        for name in sorted({r["network"] for r in self.of("step", link="alone")}):
            self.machines[name] = self.machine(name)
        copies = self.copies()
        self.machines = {name: m._replace(copies=copies) for name, m in self.machines.items()}

    def of(self, what, **have):
        return [r for r in self.rows if r["what"] == what and all(r.get(k) == v for k, v in have.items())]

    def one(self, what, **have):
        (row,) = self.of(what, **have)
        return row

    def machine(self, name):
        groups = len(self.networks[name].groups)
        (optimizer,) = [r["least"] / r["parameters"] for r in self.of("optimizer", network=name)]
        equations = []
        for thawed in (1, groups):
            row = self.one("step", network=name, link="alone", thawed=thawed)
            net = self.networks[name].at(row["size"])
            frozen, trained = net.operations(thawed)
            equations.append(
                (row["batch"] * frozen, row["batch"] * trained, row["processor"] - optimizer * net.trained(thawed))
            )
        frozen, trained = least_squares(equations)
        return Machine(frozen, trained, optimizer, 0)

    def copies(self):
        """What is left of a step in two processes over loopback, for each byte of its gradients."""
        row = self.one("step", network="resnet34", link="loopback", processes=2, thawed=6)
        net = self.networks["resnet34"].at(row["size"])
        return max(0, row["least"] - sum(self.predicted(row))) / (4 * net.trained(6))

    def link(self, name):
        """(seconds a message, bytes a second)"""
        if name == "alone":
            return 0, inf
        if name in self.alpha:
            return self.alpha[name], self.bandwidth[name]
        return self.alpha["1000 Mbit/s"], self.efficiency * rate_of(name)

    def sum(self, n, size, link):
        """Where processes share processors, so do their messages."""
        if size <= SHORT:
            return short(n, size, *self.link(link), self.each * max(1, n / PROCESSORS))
        return ring(n, size, *self.link(link))

    def predicted(self, row):
        n = row["processes"]
        if row["what"] == "sum":
            return self.sum(n, row["bytes"], row["link"])
        net, machine = self.networks[row["network"]].at(row["size"]), self.machines[row["network"]]
        alpha, bandwidth = self.link(row["link"])
        small = self.sum(n, 40, row["link"])
        if row["what"] == "cached":
            alone = self.one("cached", network=row["network"], link="alone")["least"] * max(1, n / PROCESSORS)
            return alone + SUMS_A_STEP * small + ring(n, 4 * net.trained(1), alpha, bandwidth)
        return step(
            net,
            row["thawed"],
            row["batch"],
            n,
            machine,
            lambda size: ring(n, size, alpha, bandwidth),
            small,
            share=1 if n == 1 else self.clock * max(1, n / PROCESSORS),
        )

    def is_fitted(self, row):
        if row["what"] == "sum":
            if row["processes"] == 8:
                return row["bytes"] == 40
            small_or_large = row["bytes"] <= 4096 or row["bytes"] >= 4 * MIB
            return row["processes"] == 2 and row["link"] in self.alpha and small_or_large
        groups = len(self.networks[row["network"]].groups)
        if row["link"] == "alone":
            return row["what"] == "cached" or row["thawed"] in (1, groups)
        return (
            row["what"] == "step"
            and row["network"] == "resnet34"
            and row["link"] == "loopback"
            and (row["thawed"] == groups and row["processes"] == 2)
        )


# ---- tables -------------------------------------------------------------------------------------------------------


def markdown(cells):
    lines = ["| " + " | ".join(map(str, line)) + " |" for line in cells]
    return "\n".join([lines[0], "|" + "---|" * len(cells[0])] + lines[1:]).replace("|  |", "| |")


def seconds(value):
    for limit, scale, unit in ((1e-3, 1e6, "us"), (1, 1e3, "ms"), (120, 1, "s"), (7200, 1 / 60, "min")):
        if value < limit:
            return f"{value * scale:.3g} {unit}"
    return f"{value / 3600:.3g} h"


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def stage_names(groups):
    return ["head"] + [f"+ {name.split('.')[-1]}" for name in reversed(groups[1:-1])] + ["all"]


def sizes_table(networks):
    cells = [
        [
            "network, last groups thawed",
            "parameters that train",
            "gradients, MB",
            "buckets",
            "forward, GFLOP: frozen",
            "trained",
            "kept for backward, MB a sample",
        ]
    ]
    for net in networks.values():
        if net.name == "deit_tiny":
            continue
        for thawed, name in enumerate(stage_names(net.groups), 1):
            suffix = sum(f for _, _, f in net.suffix(thawed)) / 1e9
            frozen = net.operations(thawed)[0] / 1e9
            cells.append(
                [
                    f"`{net.name}`, {name}",
                    f"{net.trained(thawed):,}",
                    f"{4e-6 * net.trained(thawed):.4g}",
                    len(net.buckets(thawed)),
                    f"{frozen:.3g}",
                    f"{suffix:.3g}",
                    f"{1e-6 * net.kept[thawed - 1]:.3g}",
                ]
            )
    return markdown(cells)


def asked_table(fit):
    cells = [["a Learner with", "sums a step", "bytes of them", "sums an epoch", "broadcasts an epoch", "sums a stage"]]
    for r in fit.of("asked"):
        cells.append(
            [
                r["callbacks"].replace("none", "no callback"),
                r["sums_a_step"],
                r["bytes_a_step"],
                r["sums_an_epoch"],
                r["broadcasts_an_epoch"],
                r["sums_a_stage"],
            ]
        )
    return markdown(cells)


def constants_table(fit):
    cells = [["constant", "", "fitted to"]]
    for name, m in fit.machines.items():
        cells += [
            [f"`{name}`, frozen part", f"{1e-9 / m.frozen:.3g} GFLOP/s", "a step alone with the head thawed, with all"],
            [f"`{name}`, trained part, forward and backward", f"{1e-9 / m.trained:.3g} GFLOP/s", "the same two"],
            [f"`{name}`, AdamW", f"{1e9 * m.optimizer:.3g} ns a parameter", "its step alone"],
        ]
    cells.append(["seconds of the clock for one of the processor", f"{fit.clock:.3g}", "the median of all steps alone"])
    cells.append(
        [
            "copies of the Reducer",
            f"{1e9 * m.copies:.3g} ns a byte",
            "a step of `resnet34`, all thawed, two processes, loopback",
        ]
    )
    for link in fit.alpha:
        alpha, bandwidth = fit.link(link)
        more = f", {fit.efficiency:.2f} of its rate" if rate_of(link) else ""
        cells.append(
            [
                f"link: {link}",
                f"{1e6 * alpha:.0f} us a message and its answer, {bandwidth / 1e6:.4g} MB/s{more}",
                "sums of two processes: to 4 KiB; from 4 MiB",
            ]
        )
    cells.append(
        ["each further message of a short sum", f"{1e6 * fit.each:.3g} us", "a sum of 40 B in 8 processes, loopback"]
    )
    return markdown(cells)


def measured_rows(fit):
    """(what, link, processes, fitted, measured, predicted) of each row that can be predicted."""
    for r in fit.rows:
        if r["what"] not in ("step", "cached", "sum"):
            continue
        alone = r["what"] == "step" and r["processes"] == 1
        measured = r["processor"] if alone else r["least"]
        predicted = fit.predicted(r)
        yield r, fit.is_fitted(r), measured, sum(predicted) if isinstance(predicted, tuple) else predicted


def compared(measured, predicted, fitted):
    """The last cells of a row of what was measured."""
    error = f"{100 * (predicted / measured - 1):+.0f} %"
    return [seconds(measured), seconds(predicted), error, "fitted" if fitted else ""]


def steps_table(fit):
    cells = [["step", "link", "processes", "measured", "predicted", "error", ""]]
    for r, fitted, measured, predicted in measured_rows(fit):
        if r["what"] == "sum":
            continue
        net = fit.networks[r["network"]]
        what = "head, kept features" if r["what"] == "cached" else stage_names(net.groups)[r["thawed"] - 1]
        cells.append(
            [
                f"`{r['network']}`, {what}",
                r["link"],
                r["processes"],
                *compared(measured, predicted, fitted),
            ]
        )
    return markdown(cells)


def sums_table(fit):
    cells = [["a sum of", "link", "processes", "measured", "predicted", "error", ""]]
    for r, fitted, measured, predicted in measured_rows(fit):
        if r["what"] != "sum" or r["bytes"] not in (40, 1048576, 27262976):
            continue
        size = "40 B" if r["bytes"] == 40 else f"{r['bytes'] // MIB} MiB"
        cells.append(
            [
                size,
                r["link"],
                r["processes"],
                *compared(measured, predicted, fitted),
            ]
        )
    return markdown(cells)


def errors_table(fit):
    def kind(r, fitted):
        if fitted:
            return "fitted, all"
        if r["what"] == "sum":
            size = (
                "of 40 B or fewer"
                if r["bytes"] <= 40
                else "of 4 to 256 KiB"
                if r["bytes"] < MIB
                else "of 1 MiB and more"
            )
            many = "2" if r["processes"] == 2 else "3 and 4" if r["processes"] < 8 else "8 and 16"
            return f"sums {size}, {many} processes"
        if r["what"] == "cached":
            return "steps of a head on kept features, 2 and 4 processes"
        if r["processes"] == 1:
            return "steps alone, middle groups thawed"
        return f"steps, {r['processes']} processes, {r['link']}"

    errors = {}
    for r, fitted, measured, predicted in measured_rows(fit):
        errors.setdefault(kind(r, fitted), []).append(predicted / measured - 1)
    cells = [["", "rows", "median of the errors' sizes", "worst"]]
    for name, each in sorted(errors.items(), key=lambda item: (item[0] != "fitted, all", item[0])):
        worst = max(each, key=abs)
        cells.append([name, len(each), f"{100 * median(map(abs, each)):.0f} %", f"{100 * worst:+.0f} %"])
    return markdown(cells)


# ---- past this machine: what was not measured but assumed, each as (slow, fast) --------------------------------------

PEAK = 989.4e12  # bfloat16, dense, of an H100 SXM: NVIDIA's data sheet (which gives 1,979 with sparsity)
MEMORY = 3.35e12  # bytes a second: the same
MFU = {"resnet34": (0.10, 0.25), "vit_b_16": (0.30, 0.50)}  # part of PEAK that training reaches
OF_MEMORY = (0.6, 0.9)
LAUNCH = (10e-6, 5e-6)  # seconds a kernel, where it has too little work to hide its start
INSIDE = ((10e-6, 0.6 * 450e9), (5e-6, 0.95 * 450e9))  # NVLink 4: 900 GB/s, half of it each way
OUTSIDE = ((20e-6, 0.6 * 50e9), (5e-6, 0.95 * 50e9))  # 400 Gbit/s a GPU
TCP = (50e-6, 20e-6)  # seconds a message of Gloo's and its answer
EACH = (10e-6, 5e-6)  # seconds each further one
BATCH, GLOBAL_BATCH, SAMPLES, EPOCHS = 64, 1024, 100_000, 100
GPUS = (8, 16, 64, 256, 1024)


AT_ONCE = "to all at once"
SMALL_SUMS = {
    AT_ONCE: lambda n, alpha, each: short(n, 40, alpha, inf, each),
    "around Gloo's ring": lambda n, alpha, each: ring(n, 40, alpha, inf),
}


def gpu(net, compute):
    """`compute`: 0 slow, 1 fast."""
    operation = 1 / (PEAK * MFU[net.name][compute])
    return Machine(operation, operation, 28 / (MEMORY * OF_MEMORY[compute]), 4 / (MEMORY * OF_MEMORY[compute]))


def gpu_step(net, stage, batch, n, compute, network, sums):
    """Seconds of a step. `sums`: a key of SMALL_SUMS, or "none"."""
    small = 0 if sums == "none" else SMALL_SUMS[sums](n, TCP[network], EACH[network])

    def all_reduce(size):
        return hierarchical(n, size, INSIDE[network], OUTSIDE[network])

    launch = LAUNCH[compute]
    if stage == 0:  # kept features: some thirty kernels, a forward and a backward pass of the head and its optimizer
        return 30 * launch + (0 if n == 1 else all_reduce(4 * net.trained(1))) + SUMS_A_STEP * small
    parts = step(net, stage, batch, n, gpu(net, compute), all_reduce, small)
    tensors = len(net.parameters) + 2 * len(net.suffix(stage))
    return max(parts.frozen + parts.trained, tensors * launch) + sum(parts[2:])


def stages(net):
    return [
        ("head, features kept", 0),
        ("head", 1),
        (f"+ {net.groups[-2].split('.')[-1]}", 2),
        ("all", len(net.groups)),
    ]


def efficiency(net, stage, batch, n, compute, network, sums, alone=None):
    """Against one GPU with as many samples each, or with `alone` of them."""
    one = gpu_step(net, stage, alone or batch, 1, compute, network, sums) / (alone or batch)
    return one / (gpu_step(net, stage, batch, n, compute, network, sums) / batch / n) / n


def predictions_table(fit, fixed, sums):
    """`fixed`: "each GPU's batch" or "the batch"."""
    cells = [["network, stage", "", *[f"{n:,} GPUs" for n in GPUS]]]
    for name in MFU:
        net = fit.networks[name]
        for title, stage in stages(net):
            rows = {"a step": [], "samples/s": [], "efficiency": [], "100 epochs": []}
            for n in GPUS:
                batch = BATCH if fixed == "each GPU's batch" else GLOBAL_BATCH / n
                steps = [gpu_step(net, stage, batch, n, i, i, sums) for i in (0, 1)]
                rows["a step"].append(f"{seconds(steps[1])} to {seconds(steps[0])}")
                rows["samples/s"].append(f"{number(batch * n / steps[0])} to {number(batch * n / steps[1])}")
                alone = None if fixed == "each GPU's batch" else GLOBAL_BATCH
                part = [efficiency(net, stage, batch, n, c, 1 - c, sums, alone) for c in (1, 0)]
                rows["efficiency"].append(f"{part[0]:.2f} to {part[1]:.2f}")
                count = EPOCHS * ceil(SAMPLES / (batch * n))
                rows["100 epochs"].append(f"{seconds(count * steps[1])} to {seconds(count * steps[0])}")
            if fixed == "the batch":
                del rows["samples/s"]
            for i, (what, values) in enumerate(rows.items()):
                cells.append([f"`{name}`, {title}" if i == 0 else "", what, *values])
    return markdown(cells)


def shares_table(fit):
    """Of a step at a fixed batch a GPU, all things fast: communication that is not hidden."""
    cells = [["network, stage", "", *[f"{n:,} GPUs" for n in GPUS]]]
    for name in MFU:
        net = fit.networks[name]
        for title, stage in stages(net):
            for sums in SMALL_SUMS:
                values = []
                for n in GPUS:
                    part = []
                    for c in (0, 1):
                        alone = gpu_step(net, stage, BATCH, 1, c, 1 - c, sums)
                        part.append(1 - alone / gpu_step(net, stage, BATCH, n, c, 1 - c, sums))
                    values.append(f"{100 * part[0]:.0f} to {100 * part[1]:.0f} %")
                cells.append([f"`{name}`, {title}" if sums == AT_ONCE else "", f"sums {sums}", *values])
    return markdown(cells)


def small_sums_table(fit):
    cells = [["three sums a step", *[f"{n:,} processes" for n in GPUS]]]
    for sums, cost in SMALL_SUMS.items():
        seen = [[seconds(3 * cost(n, TCP[i], EACH[i])) for i in (1, 0)] for n in GPUS]
        cells.append([sums, *[f"{fast} to {slow}" for fast, slow in seen]])
    return markdown(cells)


def pays_until(net, stage, fixed, sums, compute, network):
    """The most GPUs, a power of two to 4,096, of which each still does half of what one alone does; 0: not two."""
    best = 1
    n = 2
    while n <= 4096:
        batch = BATCH if fixed == "each GPU's batch" else GLOBAL_BATCH / n
        if batch < 1:
            break
        alone = None if fixed == "each GPU's batch" else GLOBAL_BATCH
        if efficiency(net, stage, batch, n, compute, network, sums, alone) < 0.5:
            break
        best, n = n, 2 * n
    return best


def pays_table(fit):
    cells = [["network, stage", *[f"{size}, {sums}" for size in ("64 a GPU", "1,024 in all") for sums in SMALL_SUMS]]]
    for name in MFU:
        net = fit.networks[name]
        for title, stage in stages(net):
            values = []
            for fixed in ("each GPU's batch", "the batch"):
                for sums in SMALL_SUMS:
                    most = [pays_until(net, stage, fixed, sums, c, 1 - c) for c in (1, 0)]
                    text = [f"{m:,}" + ("+" if m == 4096 else "") for m in most]
                    values.append(text[0] if most[0] == most[1] else f"{text[0]} to {text[1]}")
            cells.append([f"`{name}`, {title}", *values])
    return markdown(cells)


def memory_table(fit):
    cells = [
        [
            "network, stage",
            "weights",
            "gradients",
            "AdamW's state",
            "the same over 8 by ZeRO",
            "activations of 64",
            "sum",
        ]
    ]
    for name in MFU:
        net = fit.networks[name]
        for title, stage in stages(net)[1:]:
            weights = 4e-6 * net.trained(len(net.groups))
            gradients = 4e-6 * net.trained(stage)
            kept = 64e-6 * net.kept[stage - 1]
            cells.append(
                [
                    f"`{name}`, {title}",
                    f"{weights:.0f}",
                    f"{gradients:.3g}",
                    f"{2 * gradients:.3g}",
                    f"{2 * gradients / 8:.3g}",
                    f"{kept:,.0f}",
                    f"{weights + 3 * gradients + kept:,.0f}",
                ]
            )
    return markdown(cells)


def feeding_table(fit, a_core=318):
    cells = [["network, stage", "samples/s of a GPU", "cores that decode, for each GPU"]]
    for name in MFU:
        net = fit.networks[name]
        for title, stage in stages(net)[1:]:
            rates = [BATCH / gpu_step(net, stage, BATCH, 1, c, c, "none") for c in (0, 1)]
            cells.append(
                [
                    f"`{name}`, {title}",
                    f"{number(rates[0])} to {number(rates[1])}",
                    f"{ceil(rates[0] / a_core)} to {ceil(rates[1] / a_core)}",
                ]
            )
    return markdown(cells)


def tables(fit):
    return {
        "sizes": sizes_table(fit.networks),
        "asked": asked_table(fit),
        "memory": memory_table(fit),
        "constants": constants_table(fit),
        "errors": errors_table(fit),
        "steps": steps_table(fit),
        "sums": sums_table(fit),
        "small": small_sums_table(fit),
        "feeding": feeding_table(fit),
        "weak": predictions_table(fit, "each GPU's batch", AT_ONCE),
        "strong": predictions_table(fit, "the batch", AT_ONCE),
        "shares": shares_table(fit),
        "pays": pays_table(fit),
    }


# ---- checks -------------------------------------------------------------------------------------------------------


def check():
    def same(a, b):
        assert abs(a - b) <= 1e-9 * max(abs(a), abs(b), 1e-30), (a, b)

    same(ring(1, 1000, 1, 1), 0)
    same(ring(2, 100e6, 0, 125e6), 0.8)  # each sends half, twice
    same(ring(4, 80, 0.5, 10), 6 * 0.5 + 1.5 * 8)
    same(short(1, 8, 1, 1, 1), 0), same(short(2, 8, 3, 4, 9), 3 + 2), same(short(5, 8, 3, 4, 9), 3 + 3 * 9 + 8)
    same(tree(8, 2), 12), same(tree(5, 1), 6)
    same(hierarchical(8, 800, (0, 100), (0, 1)), 14)  # 2 * 7/8 * 8
    same(hierarchical(16, 800, (0, 100), (0, 10)), 14 + 10)  # and 100 bytes of each GPU, once: 2 * 1/2
    assert buckets_of([1 * MIB, 20 * MIB, 10 * MIB, 3 * MIB]) == [1, 2, 1]
    assert buckets_of([]) == [] and buckets_of([10]) == [1]
    same(exposed([1, 2], [0.5, 0.5], 2), 0.5)  # all but the last is hidden
    same(exposed([1, 2], [3, 1], 2), 3)  # the link is busy from 1 to 5
    same(exposed([0.5], [0.1], 2), 0)
    net = Network(
        {
            "network": "x",
            "size": 8,
            "groups": ["a", "b", "head"],
            "kept": [0, 0, 0],
            "norms": [],
            "feature": 4,
            "input": 4,
            "parameters": [[0, 100, 10], [1, MIB, 20], [1, 5, 0], [2, 10, 2]],
        }
    )
    assert [net.trained(k) for k in (1, 2, 3)] == [10, MIB + 15, MIB + 115]
    assert net.operations(1) == (30, 3 * 2 - 2) and net.operations(2) == (10, 3 * 22 - 20)
    assert net.operations(3) == (0, 3 * 32 - 10)
    assert net.buckets(1) == [(40, 1)] and net.buckets(3) == [(4 * MIB + 60, 22 / 32), (400, 1)]
    assert [p[2] for p in net.at(16).parameters] == [40, 80, 0, 2]
    machine = Machine(frozen=0.1, trained=0.01, optimizer=1e-9, copies=0)
    alone = step(net, 2, 4, 1, machine, None, None)
    same(alone.frozen, 4), same(alone.trained, 4 * 46 * 0.01), same(alone.optimizer, 1e-9 * (MIB + 15))
    many = step(net, 2, 4, 2, machine, lambda size: 7, 0.25, share=2)
    same(many.frozen, 8), same(many.exposed, 7), same(many.sums, 0.75)  # one bucket, ready at the end
    x, y = least_squares([(1, 1, 5), (1, 2, 8), (2, 1, 7)])
    same(x, 2), same(y, 3)
    assert rate_of("1000 Mbit/s") == 125e6 and rate_of("loopback") is None
    assert seconds(2e-5) == "20 us" and seconds(0.25) == "250 ms" and seconds(36000) == "10 h"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--measured", type=Path, default=Path(__file__).with_suffix(".jsonl"))
    parser.add_argument("--page", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.check:
        check()
    fit = Fit([json.loads(line) for line in options.measured.read_text().splitlines()])
    made = tables(fit)
    if options.page:
        page = old = options.page.read_text()
        for name, table in made.items():
            begin, end = f"<!-- planning.py: {name} -->\n", "\n<!-- end -->"
            if begin in page:
                before, rest = page.split(begin)
                page = before + begin + table + rest[rest.index(end) :]
        if options.check and page != old:
            sys.exit(f"{options.page} has other tables than planning.py makes: planning.py --page {options.page}")
        if not options.check:
            options.page.write_text(page)
    elif not options.check:
        for name, table in made.items():
            print(f"== {name}\n\n{table}\n")


if __name__ == "__main__":
    main()
