# SPDX-License-Identifier: BSD-3-Clause
"""The job of ../whole_job.cpp for Python: what its sides share. Each side is a process of its own and prints one line of
JSON, as the C++ program does.

    .deps/peers/bin/python benchmarks/peers/fastai_job.py [--job '{"images": 64}']

Making network and data does not count, nor does importing; the peak of memory is that of the whole process.
"""

import argparse
import json
import time
import warnings

import torch
from torch import nn

CLASSES = 10
HEAD_LR, BODY_LR, TOP_LR = 2e-3, 1e-5, 1e-3  # peaks of one-cycle
ADAMW = dict(betas=(0.9, 0.99), eps=1e-5, weight_decay=0.01)  # fastai's and thaw's defaults
FINDER_START, FINDER_END = 1e-7, 1e-2  # no early stop: all sides do all steps
DEFAULTS = dict(images=256, pixels=128, batch=32, head_epochs=5, finder_steps=20, thawed_epochs=3)


class Block(nn.Module):
    """ResNet's block of two 3x3 convolutions, as torchvision has it: ReLU in place, a sum that is not."""

    def __init__(self, inside, out, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inside != out:
            self.downsample = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


def resnet34():
    """Three layer groups, fastai's for a resnet: stem, layer1 and 2; layer3 and 4; a new linear head."""

    def layer(blocks, inside, out, stride):
        return nn.Sequential(Block(inside, out, stride), *(Block(out, out, 1) for _ in range(1, blocks)))

    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    early = nn.Sequential(*stem, layer(3, 64, 64, 1), layer(4, 64, 128, 2))
    late = nn.Sequential(layer(6, 128, 256, 2), layer(3, 256, 512, 2))
    for module in [*early.modules(), *late.modules()]:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(early, late, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES)))


def peak_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024


def run(make_stages):
    """`make_stages(job, data set, network)` gives {name: stage}; each stage returns its last loss."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", type=json.loads, default={})
    job = argparse.Namespace(**{**DEFAULTS, **parser.parse_args().job})
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    images = torch.randn(job.images, 3, job.pixels, job.pixels)
    data = torch.utils.data.TensorDataset(images, torch.randint(0, CLASSES, (job.images,)))
    stages = make_stages(job, data, resnet34())
    seconds, peaks, losses = {}, {}, {}
    for name, stage in stages.items():
        start = time.perf_counter()
        losses[name] = stage()
        seconds[name] = time.perf_counter() - start
        peaks[name] = peak_mb()
    seconds["total"] = sum(seconds.values())
    print(json.dumps(dict(stages=seconds, peak_mb=peak_mb(), peaks_mb=peaks, losses=losses, threads=torch.get_num_threads())))
