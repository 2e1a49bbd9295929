#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/vision/: what fastai's and torchvision's own code makes of small images.

  pip install torch==2.13.0 torchvision==0.28.0 fastai==2.8.12
"""
import json
from pathlib import Path

import torch

from formula import define_torchvision_operators

define_torchvision_operators()
import torchvision.transforms.v2.functional as F  # noqa: E402
from fastai.vision.augment import (TensorImage, _BrightnessLogit, _ContrastLogit, _WarpCoord, rotate_mat,  # noqa: E402
                                   zoom_mat)

size = 17
out = Path(__file__).resolve().parent.parent / "fixtures" / "vision"


def write(name, **values):
    text = json.dumps(values, separators=(",", ":")).replace('],"', '],\n"').replace("},{", "},\n{")
    (out / name).write_text(text + "\n")


# Smooth, so that what is compared is where pixels come from, not how they are interpolated.
y, x = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
smooth = (0.5 + 0.25 * torch.sin(3 * x + 1) + 0.2 * torch.cos(4 * y - x))[None, None]
picture = TensorImage(smooth.clone())
geometry = []


def shown(matrix=None, coords=None):
    """The picture under fastai's own sampling: reflection, align_corners."""
    return picture.clone().affine_coord(mat=matrix, coord_tfm=coords, mode="bilinear", pad_mode="reflection",
                                        align_corners=True)


def case(kind, result, **draws):
    geometry.append(dict(kind=kind, draws=draws, result=[round(v, 6) for v in result.flatten().tolist()]))


for degrees in (7.5, -10.0):
    case("rotate", shown(rotate_mat(picture, draw=degrees, p=1.0)[:, :2]), degrees=degrees)
for zoom, at_x, at_y in ((1.08, 0.2, 0.9), (1.1, 1.0, 0.5)):
    case("zoom", shown(zoom_mat(picture, draw=zoom, draw_x=at_x, draw_y=at_y, p=1.0)[:, :2]), zoom=zoom, x=at_x, y=at_y)
for at_x, at_y in ((0.2, -0.1), (-0.15, 0.17)):
    coords = _WarpCoord(draw_x=at_x, draw_y=at_y, p=1.0)
    coords.before_call(picture)
    case("perspective", shown(coords=coords), x=at_x, y=at_y)

values = torch.arange(256) / 255
lighting = []
for function, name, change in ((_BrightnessLogit, "brightness", 0.41), (_BrightnessLogit, "brightness", 0.6),
                               (_ContrastLogit, "contrast", 0.8), (_ContrastLogit, "contrast", 1.25)):
    function = function(draw=change, p=1.0)
    function.before_call(values[None, None, None])
    result = TensorImage(values[None, None, None].clone()).lighting(function)
    lighting.append(dict(kind=name, change=change, result=[round(v, 6) for v in result.flatten().tolist()]))
write("fastai.json", about="fastai 2.8.12; see make_vision_fixtures.py", size=size,
      picture=[round(v, 6) for v in smooth.flatten().tolist()], geometry=geometry, lighting=lighting)

torch.manual_seed(0)
colors = torch.randint(0, 256, (3, 6, 8), dtype=torch.uint8)
jitter = [dict(kind=name, factor=factor, result=getattr(F, "adjust_" + name)(colors, factor).flatten().tolist())
          for name, factor in (("brightness", 0.7), ("brightness", 1.4), ("contrast", 0.6), ("contrast", 1.3),
                               ("saturation", 0.5), ("saturation", 1.5), ("hue", 0.1), ("hue", -0.3))]
write("torchvision.json", about="torchvision 0.28.0; see make_vision_fixtures.py", colors=colors.flatten().tolist(),
      jitter=jitter)
