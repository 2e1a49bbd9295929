# SPDX-License-Identifier: BSD-3-Clause
"""The Python side of from_python.cpp: makes a network, and takes it back once C++ has fine-tuned it.

    python from_python.py make net.pt      # any torch.nn.Module that torch.jit.script takes
    from_python --weights net.pt --out .   # C++: trains it, writes tuned.pt
    python from_python.py check tuned.pt   # Python: runs it on the data that C++ saved beside it
"""
import os
import sys

import torch
from torch import nn

torch.manual_seed(0)
if sys.argv[1] == "make":
    body = nn.Sequential(nn.Conv2d(1, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    torch.jit.script(nn.Sequential(body, head)).save(sys.argv[2])
elif not os.path.exists(sys.argv[2]):
    sys.exit(f"{sys.argv[2]} is not there: from_python --weights net.pt --out . writes it")
else:
    net = torch.jit.load(sys.argv[2]).eval()
    seen = torch.jit.load(sys.argv[2].replace("tuned", "seen"))
    torch.testing.assert_close(net(seen.images), seen.logits, rtol=1e-4, atol=1e-4)
    print(f"ok: Python gets the logits that C++ got; accuracy {(seen.logits.argmax(1) == seen.labels).float().mean():.3f}")
