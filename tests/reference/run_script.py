# SPDX-License-Identifier: BSD-3-Clause
"""Runs what export_script wrote, without any of the network's code: run_script.py net.ts in.pt out.pt

in.pt and out.pt hold {"x": images} and {"y": outputs, "train": outputs after train()}."""

import json, sys, torch

extra = {"thaw.json": ""}
net = torch.jit.load(sys.argv[1], _extra_files=extra)
info = json.loads(extra["thaw.json"])
x = torch.load(sys.argv[2], weights_only=True)["x"]
with torch.no_grad():
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    y = net(x)
    net.train()
    in_train = net(x)
assert y.shape == (len(x), len(info["classes"])), y.shape
assert not net.eval().training
for name, tensor in net.state_dict().items():
    assert torch.equal(tensor, before[name]), name
torch.save({"y": y, "train": in_train}, sys.argv[3])
