#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/vision/looks.json: Grad-CAM and the gradients of activations by PyTorch's hooks.

    python3 -m venv venv && venv/bin/pip install torch==2.13.0
    venv/bin/python tests/reference/make_looks_fixture.py

A small network of two convolutions with norm, ReLU (in place) and pooling, then two linear layers; weights and images
by formula, see formula.py, all in double. Grad-CAM's maps are as in arXiv:1610.02391: of the activations that a forward
hook saw, weighted by the means of the gradients that their hook saw.
"""
import json
from pathlib import Path

import torch
from torch import nn

from formula import chirp, fill, numbers, wave

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "vision" / "looks.json"


def make_net():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
                        nn.Conv2d(4, 5, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten(),
                        nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    fill(net, chirp)
    return net.eval()


def grad_cam(net, images, part, wanted=None):
    seen = {}

    def keep(module, given, output):
        seen["maps"] = output.clone()  # what follows may work in place
        output.register_hook(lambda gradient: seen.update(gradient=gradient))

    handle = net[part].register_forward_hook(keep)
    logits = net(images)
    handle.remove()
    classes = logits.argmax(1) if wanted is None else torch.full((len(images),), wanted)
    logits.gather(1, classes[:, None]).sum().backward()
    weights = seen["gradient"].mean((2, 3), keepdim=True)
    maps = (weights * seen["maps"]).sum(1).relu().detach()
    probabilities = logits.softmax(1).gather(1, classes[:, None]).squeeze(1)
    return dict(part=str(part), wanted=wanted, shape=list(maps.shape), maps=numbers(maps), classes=classes.tolist(),
                probabilities=numbers(probabilities))


def strongest(net, images, part, patches):
    """Per channel, of each image the largest activation; the images with the largest of these, and where."""
    seen = {}
    handle = net[part].register_forward_hook(lambda module, given, output: seen.update(maps=output.clone()))
    net(images)
    handle.remove()
    maps = seen["maps"].detach()
    most, places = maps.flatten(2).max(2)
    channels = []
    for c in range(maps.shape[1]):
        order = most[:, c].sort(descending=True, stable=True).indices[:patches].tolist()
        channels.append(dict(samples=order, activations=numbers(most[order, c]),
                             places=[[int(places[i, c]) // maps.shape[3], int(places[i, c]) % maps.shape[3]]
                                     for i in order]))
    return dict(part=str(part), channels=channels)


def main():
    net, shape = make_net(), [6, 3, 14, 12]
    images = wave(shape, 0.37)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    found = {"about": "PyTorch's hooks, in double; see make_looks_fixture.py.", "images": shape, "w": 0.37,
             "cam": [grad_cam(net, images, part, wanted)
                     for part, wanted in ((5, None), (4, None), (2, 1), (1, 0), (3, 2))],
             "strongest": [strongest(net, images, part, 3) for part in (2, 4)]}
    OUT.write_text(json.dumps(found, separators=(",", ":")).replace("},{", "},\n{") + "\n")


main()
