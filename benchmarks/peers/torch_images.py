# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch's side of image_loading: torchvision's ImageFolder and transforms, PyTorch's DataLoader. One line of JSON.

    .deps/python/bin/python benchmarks/peers/torch_images.py --read DIR --workers N --resize N
"""

import argparse
import json
import resource
import time

import torch

library = torch.library.Library("torchvision", "FRAGMENT")
for operator in ("nms", "qnms"):
    try:  # the operators of its wheel do not load into a CPU build of PyTorch, but their schemas must exist
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:
        pass

from torchvision import datasets, transforms  # noqa: E402

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def cpu_seconds():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--read")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--resize", type=int, help="0: a random part at 224 px")
    options = parser.parse_args()
    torch.set_num_threads(1)
    whole = [transforms.Resize(options.resize or 224), transforms.CenterCrop(options.resize or 224)]
    steps = [
        *(whole if options.resize else [transforms.RandomResizedCrop(224)]),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    data = datasets.ImageFolder(options.read, transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(data, batch_size=32, shuffle=True, num_workers=options.workers)
    before, start = cpu_seconds(), time.perf_counter()
    images = sum(len(labels) for _, labels in loader)
    seconds = time.perf_counter() - start
    print(json.dumps(dict(images=images, seconds=seconds, cpu_seconds=cpu_seconds() - before)))


if __name__ == "__main__":
    main()
