# SPDX-License-Identifier: BSD-3-Clause
"""Inputs and weights by formula, and what is kept of large tensors: tests/models/formula.hpp in Python."""
import torch


def wave(shape, w, start=0.0):
    """Element k (row-major) is sin(k w + start)."""
    n = torch.Size(shape).numel()
    return torch.sin(torch.arange(n, dtype=torch.float64) * w + start).reshape(shape)


def sine(start):
    return wave([1009], 0.9, start)


def chirp(start):
    """sin(.9 k^2 + start): unlike a sine's, a matrix of them has full rank, without which batch norm would divide by
    variances near 0."""
    return torch.sin(torch.arange(1009, dtype=torch.float64) ** 2 * 0.9 + start)


def repeat(period, n):
    return period.repeat(n // len(period) + 1)[:n]


def fill(module, period=sine, variance=1):
    """Tensor i of the state dict: matrices period(i) * sqrt(3 / inputs), so that signals keep their size; norms near
    (1, 0, 0, variance); counts stay. Periods of 1009 numbers, for speed."""
    with torch.no_grad():
        for i, (name, t) in enumerate(module.state_dict().items()):
            if not t.is_floating_point():
                continue
            x = repeat(period(i), t.numel()).reshape(t.shape)
            if t.dim() > 1:
                x = x * (3 / (t.numel() / t.shape[0])) ** 0.5
            elif name.endswith("running_var"):
                x = variance * (1 + 0.5 * x)
            else:
                x = (1 if name.endswith("weight") else 0) + 0.1 * x
            t.copy_(x)


def numbers(t):
    return [float(f"{x:.8g}") for x in t.detach().flatten().tolist()]


def digest(t):
    """The product with a chirp, and the norm."""
    t = t.detach().double().flatten()
    return numbers(torch.stack([t.dot(repeat(chirp(0.5), t.numel())), t.norm()]))


def fnv1a(text):
    """FNV-1a, 64 bits."""
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return f"{h:016x}"


def hash_of_state(module):
    """Of lines like "fc.weight [1000,512]"."""
    return fnv1a("".join(f"{k} {list(t.shape)}\n".replace(", ", ",") for k, t in module.state_dict().items()))


def about_state(net):
    return dict(tensors=len(net.state_dict()), state=hash_of_state(net),
                parameters=sum(p.numel() for p in net.parameters()))


def parity(net, *inputs):
    """Of a network without dropout and the like, which becomes double and filled: the first 8 logits of each row in eval
    and in train mode, running statistics and gradients."""
    net.double()
    fill(net, chirp, variance=3)  # so that 33 residual blocks do not make signals large

    def logits():
        y = net(*inputs)
        return y.logits if hasattr(y, "logits") else y

    net.eval()
    with torch.no_grad():
        result = dict(eval=numbers(logits()[:, :8]))
    net.train()
    y = logits()
    (y * wave(y.shape, 0.7)).sum().backward()
    result["train"] = numbers(y[:, :8])
    running = [b.flatten() for key, b in net.named_buffers() if "running" in key]
    if running:
        result["running"] = digest(torch.cat(running))
    gradients = {key: p.grad for key, p in net.named_parameters()}
    rounding = 1e-12 * max(g.norm() for g in gradients.values())  # what is 0 but for that: a shift before a batch norm
    result["gradients"] = {key: digest(g) if g.norm() > rounding else [0.0, 0.0] for key, g in gradients.items()}
    return result


def define_torchvision_operators():
    """Call before torchvision is imported: where its wheel for CUDA meets a CPU torch its operators do not load, but
    their schemas must exist."""
    define_torchvision_operators.library = library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        try:
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        except RuntimeError:
            pass  # it has loaded
