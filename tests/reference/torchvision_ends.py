# SPDX-License-Identifier: BSD-3-Clause
"""Both ends of the way that tests/weights/torchvision_test.cpp goes, in torchvision.

    .deps/python/bin/python tests/reference/torchvision_ends.py publish resnet18 net.pth
    .deps/python/bin/python tests/reference/torchvision_ends.py take_back resnet18 tuned.pth seen.pth

`publish` writes a network's state dict, with its 1,000 classes, as torchvision's weights are. `take_back` loads the
fine-tuned one, of 3 classes, strictly, and asks it for the logits that C++ got: "images" and "logits" in seen.pth.
"""
import sys

import torch

from formula import define_torchvision_operators

define_torchvision_operators()
import torchvision  # noqa: E402


def publish(name, path):
    torch.manual_seed(1)
    torch.save(torchvision.models.get_model(name).state_dict(), path)


def take_back(name, tuned, seen):
    net = torchvision.models.get_model(name, num_classes=3)
    net.load_state_dict(torch.load(tuned, weights_only=True))
    seen = torch.load(seen, weights_only=True)
    with torch.no_grad():
        logits = net.eval()(seen["images"])
    torch.testing.assert_close(logits, seen["logits"], rtol=1e-4, atol=1e-5)


{"publish": publish, "take_back": take_back}[sys.argv[1]](*sys.argv[2:])
