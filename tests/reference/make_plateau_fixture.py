#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/train/plateau.json with torch.optim.lr_scheduler.ReduceLROnPlateau.   pip install torch==2.13.0"""
import json
import random
from pathlib import Path

import torch

random.seed(0)
runs = []
for mode in ("min", "max"):
    for patience, cooldown, threshold, min_lr in ((0, 0, 0.0, 0.0), (2, 0, 0.01, 0.0), (1, 3, 0.05, 0.003), (3, 1, 0.0, 0.2)):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode, factor=0.3, patience=patience, threshold=threshold, threshold_mode="abs",
            cooldown=cooldown, min_lr=min_lr, eps=0)
        values = [round(random.random() * 0.5 + (40 - i) / 40 * (1 if mode == "min" else -1), 6) for i in range(40)]
        lr = []
        for value in values:
            scheduler.step(value)
            lr.append(optimizer.param_groups[0]["lr"])
        runs.append(dict(mode=mode, factor=0.3, patience=patience, cooldown=cooldown, threshold=threshold, min_lr=min_lr,
                         values=values, lr=lr))
out = Path(__file__).resolve().parent.parent / "fixtures" / "train" / "plateau.json"
out.write_text(json.dumps(dict(about="torch 2.13.0's ReduceLROnPlateau; see make_plateau_fixture.py", runs=runs),
                          separators=(",", ":")).replace("},{", "},\n{") + "\n")
