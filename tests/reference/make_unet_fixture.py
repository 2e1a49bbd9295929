#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/models/unet.json from fastai's DynamicUnet over torchvision's ResNet-18.

In a venv made as make_torchvision_fixtures.py says, add

    venv/bin/pip install --no-deps fastai==2.8.12 fastcore==2.2.39 fastprogress==1.0.3 fastdownload==0.0.8 \
        fasttransform==0.0.5 plum-dispatch==2.9.0
    venv/bin/pip install matplotlib pandas scipy scikit-learn beartype rich cloudpickle requests pyyaml packaging
    venv/bin/python tests/reference/make_unet_fixture.py

Inputs and weights are by formula, see formula.py: tensor i of the state dict has the same place there and here, under
another name. All is computed in double.
"""
import json
from pathlib import Path

import torch

from formula import chirp, define_torchvision_operators, digest, fill, wave

define_torchvision_operators()
import torchvision  # noqa: E402
from fastai.vision.learner import create_body  # noqa: E402
from fastai.vision.models.unet import DynamicUnet  # noqa: E402

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "models" / "unet.json"


def tensor(x):
    return torch.Tensor.as_subclass(x, torch.Tensor)


def case(blur, last_cross):
    body = create_body(torchvision.models.resnet18(), pretrained=False, cut=-2)
    net = DynamicUnet(body, 4, (64, 64), blur=blur, last_cross=last_cross)
    state = net.state_dict()
    result = dict(blur=blur, last_cross=last_cross, shapes=[list(t.shape) for t in state.values()],
                  parameters=sum(p.numel() for p in net.parameters()))
    net.double()
    fill(net, chirp, variance=3)
    with torch.no_grad():
        y = tensor(net.eval()(wave([1, 3, 41, 64], 0.37)))
    result["eval"] = digest(y)
    if not blur:
        y = tensor(net.train()(wave([1, 3, 64, 64], 0.37)))
        (y * wave(y.shape, 0.7)).sum().backward()
        result["train"] = digest(y)
        result["running"] = digest(torch.cat([b.flatten() for key, b in net.named_buffers() if "running" in key]))
        result["gradients"] = [digest(p.grad) for p in net.parameters()]
    return result


about = "fastai 2.8.12 DynamicUnet(create_body(resnet18), 4), weights by formula. See make_unet_fixture.py."
text = json.dumps({"about": about, "cases": [case(False, True), case(True, False)]}, separators=(",", ":"))
OUT.write_text(text.replace("},{", "},\n{").replace('],"', '],\n"') + "\n")
