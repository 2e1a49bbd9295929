#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/train/dice.json with fastai's DiceLoss.   pip install torch==2.13.0 torchvision==0.28.0 fastai==2.8.12"""
import json
from pathlib import Path

import torch

from formula import define_torchvision_operators

define_torchvision_operators()
from fastai.losses import DiceLoss  # noqa: E402

torch.manual_seed(0)
output, target = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
target[1].clamp_(max=1)  # an image without the last class
losses = [dict(smooth=smooth, dice=DiceLoss(smooth=smooth, reduction="mean")(output, target).item())
          for smooth in (1e-6, 1.0)]
out = Path(__file__).resolve().parent.parent / "fixtures" / "train" / "dice.json"
out.write_text(json.dumps(dict(
    about="fastai 2.8.12's DiceLoss and torch 2.13.0's cross_entropy; see make_dice_fixture.py",
    output=output.flatten().tolist(), target=target.flatten().tolist(), losses=losses,
    cross_entropy=torch.nn.functional.cross_entropy(output, target).item()), separators=(",", ":")) + "\n")
