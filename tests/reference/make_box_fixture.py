#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/vision/boxes.json from torchvision's v2 transforms of bounding boxes, as
make_torchvision_fixtures.py says how to install it.

Each transform is written with its matrix, which takes a point in pixels from the image's upper left corner to its place
in an image of `size` (width, height); with the boxes that it gives, clipped; and with those that SanitizeBoundingBoxes
keeps.
"""
import json
import math
from pathlib import Path

import torch

from formula import define_torchvision_operators

define_torchvision_operators()
from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms import v2  # noqa: E402
from torchvision.transforms.v2 import functional as F  # noqa: E402

W, H = 60, 40
BOXES = [[10, 5, 30, 25], [0, 0, 60, 40], [50.5, 30.25, 59, 39], [2, 3, 4, 38], [28, 18, 33, 22], [0, 0, 1.5, 1.5]]
START, END = [[0, 0], [60, 0], [60, 40], [0, 40]], [[3, 2], [55, -4], [66, 37], [-5, 44]]


def moved(x, y):
    return torch.tensor([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=torch.float64)


def about_middle(a, b, c, d):
    linear = torch.tensor([[a, b, 0], [c, d, 0], [0, 0, 1]], dtype=torch.float64)
    return moved(W / 2, H / 2) @ linear @ moved(-W / 2, -H / 2)


def affine(degrees, x, y, scale):
    c, s = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return moved(x, y) @ about_middle(c, -s, s, c), lambda boxes: F.affine(
        boxes, angle=degrees, translate=[x, y], scale=scale, shear=[0, 0])


def perspective():
    rows, right = [], []
    for (x, y), (u, v) in zip(START, END):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    m = torch.linalg.solve(torch.tensor(rows, dtype=torch.float64), torch.tensor(right, dtype=torch.float64))
    matrix = torch.cat([m, torch.ones(1, dtype=torch.float64)]).reshape(3, 3)
    return matrix, lambda boxes: F.perspective(boxes, START, END)


TRANSFORMS = {
    "flip": (about_middle(-1, 0, 0, 1), F.horizontal_flip),
    "flip vertical": (about_middle(1, 0, 0, -1), F.vertical_flip),
    "resize": (torch.diag(torch.tensor([1.5, 0.5, 1], dtype=torch.float64)), lambda boxes: F.resize(boxes, [20, 90])),
    "crop": (moved(-12, -8), lambda boxes: F.crop(boxes, 8, 12, 20, 30)),
    "pad": (moved(7, 3), lambda boxes: F.pad(boxes, [7, 3, 5, 9])),
    "rotate": affine(30, 0, 0, 1),
    "affine": affine(-100, 11, -6, 1.3),
    "shift": affine(0, -29, 17, 1),
    "perspective": perspective(),
}

written = []
for name, (matrix, transform) in TRANSFORMS.items():
    boxes = tv_tensors.BoundingBoxes(torch.tensor(BOXES, dtype=torch.float64), format="XYXY", canvas_size=(H, W))
    boxes = F.clamp_bounding_boxes(transform(boxes))
    height, width = boxes.canvas_size
    labels = v2.SanitizeBoundingBoxes()({"boxes": boxes, "labels": torch.arange(len(BOXES))})["labels"].tolist()
    written.append({"name": name, "size": [width, height], "matrix": [round(x, 12) for x in matrix.flatten().tolist()],
                    "boxes": [[round(x, 6) for x in box] for box in boxes.tolist()],
                    "kept": [i in labels for i in range(len(BOXES))]})
out = Path(__file__).resolve().parent.parent / "fixtures" / "vision" / "boxes.json"
out.write_text(json.dumps({"boxes": BOXES, "transforms": written}, indent=None).replace('{"name"', '\n{"name"') + "\n")
