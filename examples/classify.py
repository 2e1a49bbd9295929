# SPDX-License-Identifier: BSD-3-Clause
"""What an image shows, by what export_script wrote, without any of the network's code:

    python3 classify.py fashion.ts boot.png"""

import json, sys, torch, torchvision

files = {"thaw.json": ""}
model = torch.jit.load(sys.argv[1], _extra_files=files)
info = json.loads(files["thaw.json"])
x = torchvision.io.read_image(sys.argv[2], torchvision.io.ImageReadMode.RGB)
x = torchvision.transforms.functional.resize(x, [info["image_size"]] * 2) / 255  # of square images
x = (x - torch.tensor(info["mean"]).view(-1, 1, 1)) / torch.tensor(info["std"]).view(-1, 1, 1)
with torch.no_grad():
    for probability, i in sorted(zip(model(x[None]).softmax(1)[0].tolist(), range(99)), reverse=True):
        print(f"{probability:.3f} {info['classes'][i]}")
