#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/train/focal.json with torchvision's sigmoid_focal_loss.   pip install torch==2.13.0 torchvision==0.28.0"""

import json
from pathlib import Path

import torch
from formula import define_torchvision_operators

define_torchvision_operators()
from torchvision.ops import sigmoid_focal_loss

torch.manual_seed(0)
output = torch.randn(6, 4) * 3
target = (torch.rand(6, 4) < 0.3).float()
losses = [
    dict(alpha=alpha, gamma=gamma, loss=sigmoid_focal_loss(output.double(), target.double(), alpha, gamma, "mean").item())
    for alpha in (0.25, 0.9, -1.0)
    for gamma in (0.0, 0.5, 2.0, 5.0)
]
fixture = dict(about="torchvision 0.28.0's sigmoid_focal_loss; see make_focal_fixture.py",
               output=output.flatten().tolist(), target=target.flatten().tolist(), losses=losses)
path = Path(__file__).resolve().parent.parent / "fixtures/train/focal.json"
path.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
