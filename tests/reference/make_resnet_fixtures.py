#!/usr/bin/env python3
"""Makes tests/fixtures/models/resnet.json from torchvision's own networks.

    python3 -m venv venv
    venv/bin/pip install --no-deps torch==2.13.0  # a build for CPUs will do
    venv/bin/pip install --no-deps torchvision==0.28.0 numpy pillow sympy "mpmath<1.4" networkx jinja2 MarkupSafe \
        filelock typing-extensions fsspec
    venv/bin/python tests/reference/make_resnet_fixtures.py

Inputs and weights are by formula, see `wave` and `fill`. Values are of eval mode, gradients of train mode; all are
computed in double, since in float32 a ReLU next to its kink tells processors apart.
"""
import json
from pathlib import Path

import torch

# torchvision's wheel for CUDA meets a CPU torch: its operators do not load, but their schemas must exist.
library = torch.library.Library("torchvision", "FRAGMENT")
for operator in ("nms", "qnms"):
    try:
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:
        pass  # it has loaded

import torchvision  # noqa: E402

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "models" / "resnet.json"
NAMES = ["resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "wide_resnet50_2"]


def wave(shape, w):
    n = torch.Size(shape).numel()
    return torch.sin(torch.arange(n, dtype=torch.float64) * w).reshape(shape)


def chirp(n, start):
    """sin(.9 k^2 + start), repeated after 1009 numbers: unlike a sine's, a matrix of them has full rank, without which
    batch norm would divide by variances near 0."""
    return torch.sin(torch.arange(1009, dtype=torch.float64) ** 2 * 0.9 + start).repeat(n // 1009 + 1)[:n]


def fill(module):
    """Tensor i of the state dict: matrices chirp i * sqrt(3 / inputs), so that signals keep their size; norms near
    (1, 0, 0, 3), so that 33 residual blocks do not make them large; counts stay."""
    with torch.no_grad():
        for i, (name, t) in enumerate(module.state_dict().items()):
            if not t.is_floating_point():
                continue
            x = chirp(t.numel(), i).reshape(t.shape)
            if t.dim() > 1:
                x *= (3 / (t.numel() / t.shape[0])) ** 0.5
            elif name.endswith("running_var"):
                x = 3 * (1 + 0.5 * x)
            else:
                x = (1 if name.endswith("weight") else 0) + 0.1 * x
            t.copy_(x)


def fnv1a(text):
    """FNV-1a, 64 bits."""
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return f"{h:016x}"


def numbers(t):
    return [float(f"{x:.8g}") for x in t.detach().flatten().tolist()]


def digest(t):
    """The product with a chirp, and the norm."""
    t = t.detach().double().flatten()
    return numbers(torch.stack([t.dot(chirp(t.numel(), 0.5)), t.norm()]))


def case(name):
    torch.manual_seed(1)
    net = getattr(torchvision.models, name)()
    state = net.state_dict()
    result = dict(
        name=name,
        tensors=len(state),
        state=fnv1a("".join(f"{key} {list(t.shape)}\n".replace(", ", ",") for key, t in state.items())),
        initial={key: digest(state[key]) for key in ("conv1.weight", "layer3.0.downsample.0.weight", "fc.weight")})

    net.double()
    fill(net)
    x = wave([2, 3, 64, 64], 0.37)
    with torch.no_grad():
        result["eval"] = numbers(net.eval()(x)[:, :8])
    y = net.train()(x)
    (y * wave(y.shape, 0.7)).sum().backward()
    result["train"] = numbers(y[:, :8])
    result["running"] = digest(torch.cat([b.flatten() for key, b in net.named_buffers() if "running" in key]))
    result["gradients"] = {key: digest(p.grad) for key, p in net.named_parameters()}
    return result


cases = [case(name) for name in NAMES]
about = "torchvision 0.28.0, weights by formula; logits: the first 8 of each image. See make_resnet_fixtures.py."
text = json.dumps({"about": about, "cases": cases}, separators=(",", ":"))
OUT.write_text(text.replace('],"', '],\n"').replace("},{", "},\n{") + "\n")
