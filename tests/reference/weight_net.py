# SPDX-License-Identifier: BSD-3-Clause
"""The small network of the weight files that the tests read: tests/weights/net.hpp in Python."""
import torch


def numbers(*shape, dtype=torch.float32):
    """0, 0.5, 1, ... : exact in every floating type here."""
    count = torch.Size(shape).numel()
    return (torch.arange(count, dtype=torch.float64) / 2).to(dtype).reshape(shape)


class Net(torch.nn.Module):
    __module__ = "__main__"  # a whole one is pickled as a class of the program that writes it

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 3, bias=False)
        self.bn = torch.nn.BatchNorm2d(2)
        self.fc = torch.nn.Linear(2, 3)

    def forward(self, x):
        return self.fc(self.bn(self.conv(x)).mean((2, 3)))


def net():
    """The network with weights by formula: in each tensor 0, 0.5, 1, ... plus its place."""
    model = Net()
    with torch.no_grad():
        for place, tensor in enumerate(model.state_dict().values()):
            tensor.copy_(numbers(*tensor.shape).to(tensor.dtype) + place)
    return model
