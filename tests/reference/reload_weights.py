# SPDX-License-Identifier: BSD-3-Clause
"""Loads a file of weights with the real PyTorch and saves what it holds again, for tests/weights/python_test.cpp.

    python3 tests/reference/reload_weights.py in.pth out.pth

Each may be a .pth or a .safetensors file. A .pth is opened with weights_only=True, checked to keep what is tied in
"tied.*", and saved with its strides. ./dev python makes such a Python.
"""

import sys

import torch


def load(path):
    if path.endswith(".safetensors"):
        import safetensors.torch

        return safetensors.torch.load_file(path)
    state = torch.load(path, weights_only=True)
    tied = {tensor.untyped_storage().data_ptr() for name, tensor in state.items() if name.startswith("tied.")}
    assert len(tied) <= 1, "tied tensors came apart"
    assert not any(tensor.requires_grad for tensor in state.values())
    return state


def save(state, path):
    if path.endswith(".safetensors"):
        import safetensors.torch

        return safetensors.torch.save_file({name: tensor.contiguous().clone() for name, tensor in state.items()}, path)
    return torch.save(state, path)


save(load(sys.argv[1]), sys.argv[2])
