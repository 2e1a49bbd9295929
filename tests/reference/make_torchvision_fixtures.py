#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes resnet, mobilenet_v2, mobilenet_v3, efficientnet and convnext.json in tests/fixtures/models from torchvision.

    python3 -m venv venv
    venv/bin/pip install --no-deps torch==2.13.0  # a build for CPUs will do
    venv/bin/pip install --no-deps torchvision==0.28.0 numpy pillow sympy "mpmath<1.4" networkx jinja2 MarkupSafe \
        filelock typing-extensions fsspec
    venv/bin/python tests/reference/make_torchvision_fixtures.py [<family>...]

Inputs and weights are by formula, see formula.py. Values are of eval mode, gradients of train mode without dropout and
stochastic depth; all are computed in double, since in float32 a ReLU next to its kink tells processors apart.
"""
import json
import sys
from pathlib import Path

import torch

from formula import about_state, define_torchvision_operators, digest, parity, wave

define_torchvision_operators()
import torchvision  # noqa: E402

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "models"
RESNETS = ["resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "wide_resnet50_2"]

# of each family: its networks, images, and three weights whose initial values are kept
FAMILIES = {
    "resnet": (RESNETS, [2, 3, 64, 64], ["conv1.weight", "layer3.0.downsample.0.weight", "fc.weight"]),
    "mobilenet_v2": (["mobilenet_v2"], [2, 3, 64, 64],
                     ["features.0.0.weight", "features.5.conv.2.weight", "classifier.1.weight"]),
    "mobilenet_v3": (["mobilenet_v3_large"], [2, 3, 64, 64],
                     ["features.0.0.weight", "features.5.block.2.fc1.weight", "classifier.3.weight"]),
    "efficientnet": (["efficientnet_b0"], [2, 3, 64, 64],
                     ["features.0.0.weight", "features.5.0.block.2.fc2.weight", "classifier.1.weight"]),
    "convnext": (["convnext_tiny"], [1, 3, 32, 32],
                 ["features.0.0.weight", "features.5.0.block.3.weight", "classifier.2.weight"]),
}


def without_chance(net):
    for module in net.modules():
        if isinstance(module, (torch.nn.Dropout, torchvision.ops.StochasticDepth)):
            module.p = 0.0


def case(name, shape, initial):
    torch.manual_seed(1)
    net = getattr(torchvision.models, name)()
    state = net.state_dict()
    result = dict(name=name, **about_state(net), initial={key: digest(state[key]) for key in initial})
    without_chance(net)
    return dict(**result, **parity(net, wave(shape, 0.37)))


for family in sys.argv[1:] or FAMILIES:
    names, shape, initial = FAMILIES[family]
    about = ("torchvision 0.28.0, weights by formula; logits: the first 8 of each image. "
             "See make_torchvision_fixtures.py.")
    value = {"about": about, "images": shape, "cases": [case(name, shape, initial) for name in names]}
    text = json.dumps(value, separators=(",", ":"))
    (OUT / f"{family}.json").write_text(text.replace('],"', '],\n"').replace("},{", "},\n{") + "\n")
