#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/groups/*.pt and script.json: a tiny network scripted, traced in eval and traced in training mode.

    pip install torch==2.13.0
    make_script_fixtures.py

Element k (row-major) of tensor i of the state dict is sin(0.9 k + i) / 2, plus 1 for variances and norm weights.
"""
import io
import json
import warnings
import zipfile
from pathlib import Path

import torch
from torch import nn

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "groups"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
        self.norm = nn.InstanceNorm2d(3, affine=True, track_running_stats=True)
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(torch.relu(self.norm(self.stem(x))).mean([2, 3]))


def net():
    model = Net()
    with torch.no_grad():
        for i, (name, t) in enumerate(model.state_dict().items()):
            if t.is_floating_point():
                one = name.endswith("running_var") or name in ("stem.1.weight", "norm.weight")
                t.copy_((torch.sin(torch.arange(t.numel(), dtype=torch.float64) * 0.9 + i) / 2 + one).reshape(t.shape))
    return model


def save(model, name):
    """As torch.jit.save, but compressed and without debug files: 4 kB in place of 19."""
    data = io.BytesIO()
    torch.jit.save(model, data)
    with zipfile.ZipFile(data) as full, zipfile.ZipFile(OUT / name, "w", zipfile.ZIP_DEFLATED) as small:
        for item in full.infolist():
            if not item.filename.endswith(".debug_pkl"):
                small.writestr(zipfile.ZipInfo(item.filename), full.read(item), zipfile.ZIP_DEFLATED)


def main():
    warnings.simplefilter("ignore")
    x = torch.sin(torch.arange(2 * 2 * 4 * 4, dtype=torch.float64) * 0.7).reshape(2, 2, 4, 4).float()
    save(torch.jit.script(net()), "scripted.pt")
    save(torch.jit.trace(net().eval(), x), "traced_eval.pt")
    save(torch.jit.trace(net().train(), x, check_trace=False), "traced_train.pt")
    expected = {
        "eval": net().eval()(x).tolist(),
        "train": net().train()(x).tolist(),
        "state": list(net().state_dict()),
    }
    (OUT / "script.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
