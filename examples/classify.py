# SPDX-License-Identifier: BSD-3-Clause
"""Inference in Python with what export_model.cpp wrote: python3 classify.py fashion.safetensors image.png"""

import json, sys, torch, torchvision
from safetensors import safe_open

with safe_open(sys.argv[1], "pt") as file:
    info = json.loads(file.metadata()["thaw"])
    state = {name: file.get_tensor(name) for name in file.keys()}
model = torchvision.models.get_model(info["model"], num_classes=len(info["classes"]))
model.load_state_dict(state)
x = torchvision.io.read_image(sys.argv[2], torchvision.io.ImageReadMode.RGB)
x = torchvision.transforms.functional.resize(x, [info["image_size"]] * 2) / 255
x = (x - torch.tensor(info["mean"]).view(-1, 1, 1)) / torch.tensor(info["std"]).view(-1, 1, 1)
with torch.no_grad():
    print(info["classes"][model.eval()(x[None]).argmax()])
