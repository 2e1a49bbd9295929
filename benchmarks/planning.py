#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a step of fine-tuning takes in n processes: prints the tables of docs/planning.md, which explains the model.
To plan another machine or network, change the constants. Seconds, bytes and floating-point operations everywhere;
what is a pair is an assumption, (slow, fast). Standard library only.
"""
from collections import namedtuple
from functools import partial
from math import ceil, inf, log2

# frozen, trained: seconds an operation; optimizer: seconds a parameter; copies: seconds a byte of gradients
Machine = namedtuple("Machine", "frozen trained optimizer copies")

# ---- measured on two CPU cores: resnet34, 8 images of 96 px in each process. The program that measured, and all rows:
# git log -- benchmarks/planning.cpp
CPU = Machine(5.323321508e-12, 5.915504465e-12, 1.751525214e-09, 5.573937861e-10)
CPU_LINKS = {  # seconds of an empty message and its answer, bytes a second
    "loopback": (57.459e-6, 2396.17e6),
    "1 Gbit/s": (60.454e-6, 119.467e6),
    "250 Mbit/s": (60.454e-6, 0.955738 * 31.25e6),
}
CPU_MESSAGE = 13.485e-6  # each further message of a small sum
RUNS = [("one process", None, 1), ("2, one machine", "loopback", 2), ("2, 1 Gbit/s", "1 Gbit/s", 2),
        ("4, 1 Gbit/s", "1 Gbit/s", 4), ("2, 250 Mbit/s", "250 Mbit/s", 2)]
MEASURED = {  # stage: seconds of a step, of each run
    "head, cached": (35.0e-6, 767.4e-6, 808.4e-6, None, None),
    "head": (57.32e-3, 59.42e-3, 60.07e-3, 128.1e-3, 58.29e-3),
    "+ layer4": (122.4e-3, 163.8e-3, 550.8e-3, 910.2e-3, 1.895),
    "all": (226.3e-3, 282.8e-3, 849.4e-3, 1.3369, 3.029),
}

# ---- assumed of GPUs: H100 SXM, 8 in a node
PEAK, MEMORY = 989.4e12, 3.35e12  # bfloat16, dense; bytes a second (NVIDIA's data sheet)
OF_PEAK = {"resnet34": (0.10, 0.25), "vit_b_16": (0.30, 0.50)}  # what training reaches
OF_MEMORY = (0.6, 0.9)
LAUNCH = (10e-6, 5e-6)  # of a kernel with little work
INSIDE = ((10e-6, 0.6 * 450e9), (5e-6, 0.95 * 450e9))  # NVLink: seconds a message, bytes a second
OUTSIDE = ((20e-6, 0.6 * 50e9), (5e-6, 0.95 * 50e9))  # 400 Gbit/s a GPU
TCP, MESSAGE = (50e-6, 20e-6), (10e-6, 5e-6)  # Gloo: a message and its answer, each further message
DECODED = 213  # images a second and core: docs/vision.md
GPUS = (8, 16, 64, 256, 1024)


# ---- thaw::models at 224 px with 10 classes: (layer group, parameters, operations of a forward pass), front to back

def resnet34():
    def conv(group, before, after, kernel, side):
        kernels = before * after * kernel * kernel
        return [(group, kernels, 2 * kernels * side * side), (group, after, 0), (group, after, 0)]
    net = conv(0, 3, 64, 7, 112)
    for group, (blocks, width, side) in enumerate([(3, 64, 56), (4, 128, 28), (6, 256, 14), (3, 512, 7)], 1):
        for block in range(blocks):
            before = width if block or group == 1 else width // 2
            net += conv(group, before, width, 3, side) + conv(group, width, width, 3, side)
            net += conv(group, before, width, 1, side) if before != width else []
    return net + [(5, 5120, 10240), (5, 10, 0)]


def vit_b_16():
    net = [(0, n, f) for n, f in [(768, 0), (589824, 231211008), (768, 0), (151296, 0)]]
    norm = [(768, 0), (768, 0)]
    attention = [(1769472, 816393216), (2304, 0), (589824, 232390656), (768, 0)]
    mlp = [(2359296, 929562624), (3072, 0), (2359296, 929562624), (768, 0)]
    for layer in range(12):
        net += [(1 + layer // 3, n, f) for n, f in norm + attention + norm + mlp]
    return net + [(4, *each) for each in norm] + [(5, 7680, 15360), (5, 10, 0)]


NETWORKS = {"resnet34": resnet34(), "vit_b_16": vit_b_16()}
STAGES = {  # the last groups that train; 0: the head on cached features
    "resnet34": {"head, cached": 0, "head": 1, "+ layer4": 2, "all": 6},
    "vit_b_16": {"head": 1, "+ last 3 layers": 2, "all": 6},
}


# ---- the model


def trained(net, groups):
    return [each for each in net if each[0] >= 6 - groups]


def ring(n, alpha, bandwidth, size):
    """An all-reduce over a ring."""
    return 2 * (n - 1) * alpha + 2 * (n - 1) / n * size / bandwidth


def small_sum(n, alpha, bandwidth, message):
    """An all-reduce of 40 bytes: each process sends to all others at once."""
    return 0 if n == 1 else alpha + (n - 2) * message + (n - 1) * 40 / bandwidth


def hierarchical(n, inside, outside, size):
    """An all-reduce within each node of 8, between nodes by each GPU for its part, and back, along trees."""
    here, nodes = min(n, 8), ceil(n / 8)
    within = 2 * ceil(log2(here)) * inside[0] + 2 * (here - 1) / here * size / inside[1]
    return within + 2 * ceil(log2(nodes)) * outside[0] + 2 * (nodes - 1) / nodes * size / here / outside[1]


def exposed(parameters, backward, all_reduce):
    """What sending adds to a backward pass: c10d sends a bucket when it is full and the one before has gone."""
    total, done, size, end, limit = sum(f for *_, f in parameters), 0, 0, 0, 1 << 20
    for left, (_, numel, operations) in zip(reversed(range(len(parameters))), reversed(parameters)):
        size, done = size + 4 * numel, done + operations
        if size >= limit or left == 0:
            end = max(end, done / total * backward) + all_reduce(size)
            size, limit = 0, 25 << 20
    return max(0, end - backward)


def step(net, groups, batch, n, machine, all_reduce, small, share=1):
    """Seconds (of computing, of the rest). `batch`: samples a process; `share`: processes a processor has."""
    parameters = trained(net, groups)
    numel, forward = sum(p for _, p, _ in parameters), sum(f for *_, f in parameters)
    first = next(f for *_, f in parameters if f)  # the layer that needs no gradient of its input
    frozen = share * batch * (sum(f for *_, f in net) - forward) * machine.frozen
    both = share * batch * (3 * forward - first) * machine.trained
    rest = share * numel * machine.optimizer
    if n > 1:
        copies = share * 4 * numel * machine.copies
        rest += copies + exposed(parameters, both * 2 / 3 + copies, all_reduce) + 3 * small
    return frozen + both, rest


def cpu_step(stage, link, n):
    alpha, bandwidth = CPU_LINKS.get(link, (0, inf))
    share = max(1, n / 2)
    small, all_reduce = small_sum(n, alpha, bandwidth, share * CPU_MESSAGE), partial(ring, n, alpha, bandwidth)
    if stage == 0:
        return share * MEASURED["head, cached"][0] + 3 * small + all_reduce(4 * 5130)
    net = [(g, p, f * (96 / 224) ** 2 if g < 5 else f) for g, p, f in NETWORKS["resnet34"]]
    return sum(step(net, stage, 8, n, CPU, all_reduce, small, share))


def gpu_step(name, stage, batch, n, compute, network):
    """`compute`, `network`: 0 slow, 1 fast."""
    net, launch = NETWORKS[name], LAUNCH[compute]
    operation, memory = 1 / (PEAK * OF_PEAK[name][compute]), MEMORY * OF_MEMORY[compute]
    machine = Machine(operation, operation, 28 / memory, 4 / memory)  # AdamW moves 28 bytes of each parameter
    small = small_sum(n, TCP[network], inf, MESSAGE[network])
    all_reduce = partial(hierarchical, n, INSIDE[network], OUTSIDE[network])
    if stage == 0:  # some thirty kernels
        return 30 * launch + all_reduce(4 * 5130) + 3 * small
    computing, rest = step(net, stage, batch, n, machine, all_reduce, small)
    return max(computing, (len(net) + 2 * len(trained(net, stage))) * launch) + rest


def efficiency(name, stage, total, compute, network, n):
    """Of each of n GPUs, against one alone. `total`: samples of a step over all GPUs; None: 64 on each."""
    batch, alone = (total / n, total) if total else (64, 64)
    one = gpu_step(name, stage, alone, 1, compute, network) / alone
    return one * batch / gpu_step(name, stage, batch, n, compute, network)


# ---- tables


def seconds(value):
    return f"{value * 1e6:.3g} us" if value < 1e-3 else f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


def show(title, *rows):
    print(f"{title}\n\n| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    print("\n".join("| " + " | ".join(row) + " |" for row in rows[1:]) + "\n")


def sizes():
    for name, stages in STAGES.items():
        for title, stage in (each for each in stages.items() if each[1]):
            net, rates = NETWORKS[name], [64 / gpu_step(name, stage, 64, 1, c, c) for c in (0, 1)]
            numel, forward = (sum(each[i] for each in trained(net, stage)) for i in (1, 2))
            frozen = sum(f for *_, f in net) - forward
            yield [f"`{name}`, {title}", f"{numel:,}", f"{4e-6 * numel:.4g}", f"{frozen / 1e9:.3g}",
                   f"{forward / 1e9:.3g}", " to ".join(str(ceil(rate / DECODED)) for rate in rates)]


def measured():
    for stage, times in MEASURED.items():
        predicted = [cpu_step(STAGES["resnet34"][stage], *run[1:]) for run in RUNS]
        yield [stage, *(f"{seconds(t)} ({seconds(p)})" if t else "" for t, p in zip(times, predicted))]


def efficiencies(total):
    for name, stages in STAGES.items():
        for title, stage in stages.items():
            both = [partial(efficiency, name, stage, total, c, 1 - c) for c in (1, 0)]  # fast GPUs on a slow network
            most = [f"{next(1 << i for i in range(13) if each(2 << i) < 0.5):,}" for each in both]
            cells = [" to ".join(f"{each(n):.2f}" for each in both) for n in GPUS]
            yield [f"`{name}`, {title}", *cells, " to ".join(dict.fromkeys(most))]


if __name__ == "__main__":
    show("What trains", ["network, last groups thawed", "parameters that train", "gradients, MB",
                         "forward, GFLOP: frozen", "trained", "cores that decode, for each GPU"], *sizes())
    show("Measured (predicted)", ["`resnet34`", *[run[0] for run in RUNS]], *measured())
    gpus = [f"{n:,} GPUs" for n in GPUS]
    show("64 samples on each GPU", ["efficiency", *gpus, "one half up to"], *efficiencies(None))
    show("1,024 samples in all", ["efficiency", *gpus, "one half up to"], *efficiencies(1024))
    sums = [" to ".join(seconds(3 * small_sum(n, TCP[i], inf, MESSAGE[i])) for i in (1, 0)) for n in GPUS]
    show("Small sums", ["three a step", *gpus], ["", *sums])
