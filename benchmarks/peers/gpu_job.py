#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch's side of ../gpu.cpp, written by hand with torchvision's networks; it answers the same lines.

    gpu_job.py [--compile MODE]    MODE: torch.compile's, of the network alone: default, reduce-overhead, ...

The first to be given a job writes the weights that the other sides read, where the job's "weights" names no file yet.
"""

import argparse
import copy
import json
import os
import queue
import sys
import threading
import time
from pathlib import Path

import torch
from torch.nn import functional

try:
    import torchvision
except RuntimeError:  # a wheel for CUDA beside a CPU torch, as ./dev python may have it
    sys.path.append(str(Path(__file__).resolve().parents[2] / "tests/reference"))
    from formula import define_torchvision_operators

    define_torchvision_operators()
    import torchvision

HEAD_LR, BODY_LR, TOP_LR = 2e-3, 1e-5, 1e-3  # peaks of one-cycle
RATES = [BODY_LR, (BODY_LR * TOP_LR) ** 0.5, TOP_LR]
ADAMW = dict(betas=(0.9, 0.99), eps=1e-5)  # fastai's and thaw's defaults
DECAY = 0.01  # not of norms and biases
FINDER_START, FINDER_END, FINDER_BETA = 1e-7, 1e-2, 0.98  # no early stop: all sides do all steps
JOB = dict(model="resnet34", precision="full", device="cpu", data="device", weights="", pixels=224, batch=64, steps=50)
JOB |= dict(finder_steps=100, classes=10, cudnn_benchmark=False)
DTYPES = dict(full=None, bfloat16=torch.bfloat16, float16=torch.float16)


def network(job):
    """The network, and the names that the second and the third layer group begin with."""
    if job.model == "resnet34":
        return torchvision.models.resnet34(num_classes=job.classes), ("layer3", "fc")
    vit = torchvision.models.vit_b_16(num_classes=job.classes, image_size=job.pixels)
    torch.nn.init.normal_(vit.heads[-1].weight, std=0.02)  # of zeros the loss would be the same whatever the body does
    return vit, ("encoder.layers.encoder_layer_6", "heads")


def in_groups(net, cuts):
    """The parameters of the three groups, each as those that decay and those that do not."""
    norms = (torch.nn.BatchNorm2d, torch.nn.LayerNorm)
    exempt = {f"{name}." for name, module in net.named_modules() if isinstance(module, norms)}
    groups, now = [([], []) for _ in range(3)], 0
    for name, parameter in net.named_parameters():  # in the order in which they run
        if now < 2 and name.startswith(cuts[now]):
            now += 1
        plain = name.endswith("bias") or any(name.startswith(prefix) for prefix in exempt)
        groups[now][plain].append(parameter)
    return groups


def ahead(batches):
    """Batches in pinned memory, made by a thread beside, two at most before they are asked for."""
    ready = queue.Queue(2)

    def run():
        for batch in batches:
            ready.put([t.pin_memory() for t in batch] if torch.cuda.is_available() else batch)
        ready.put(None)

    threading.Thread(target=run, daemon=True).start()
    return iter(ready.get, None)


class Side:
    def __init__(self, job, images, targets, mode):
        self.job, self.device = job, torch.device(job.device)
        torch.backends.cudnn.benchmark = job.cudnn_benchmark
        self.host = images, targets
        self.data = [t.to(self.device) for t in self.host] if job.data == "device" else self.host
        on_device = job.data == "device" and self.device.type != "cpu"
        self.data_bytes = sum(t.nbytes for t in self.data) if on_device else 0
        self.layout = torch.channels_last if job.model == "resnet34" else torch.contiguous_format
        net, cuts = network(job)
        if job.weights and not os.path.exists(job.weights):
            torch.save(net.state_dict(), job.weights)
        elif job.weights:
            net.load_state_dict(torch.load(job.weights))
        self.net = net.to(self.device, memory_format=self.layout)
        self.groups = in_groups(net, cuts)
        self.forward = torch.compile(net, mode=mode) if mode else net
        self.dtype = DTYPES[job.precision]
        self.frozen = False

    def freeze(self, frozen):
        self.frozen = frozen
        self.net.requires_grad_(not frozen)
        for parameter in [*self.groups[-1][0], *self.groups[-1][1]]:
            parameter.requires_grad_(True)

    def train(self):
        """Training mode, the norms of a frozen body held."""
        self.net.train()
        if self.frozen:
            for module in self.net.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eval()

    def batches(self):
        def drawn():
            order = torch.randperm(len(self.data[0])).to(self.data[0].device)
            for samples in order.split(self.job.batch):
                yield [t.index_select(0, samples) for t in self.data]

        return drawn() if self.job.data == "device" else ahead(drawn())

    def loss(self, images, targets):
        images = images.to(self.device, non_blocking=True).contiguous(memory_format=self.layout)
        targets = targets.to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            return functional.cross_entropy(self.forward(images), targets)

    def optimizer(self, rates):
        """Of the last groups, one for each rate."""
        groups = []
        for (decays, plain), rate in zip(self.groups[-len(rates) :], rates):
            groups += [dict(params=p, lr=rate, weight_decay=d) for p, d in ((decays, DECAY), (plain, 0)) if p]
        return torch.optim.AdamW(groups, fused=True, **ADAMW)

    def scaler(self):
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)

    def step(self, batch, optimizer, scaler):
        loss = self.loss(*batch)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    def one_cycle(self, rates):
        """Returns the mean loss: the one number that is read."""
        optimizer, scaler = self.optimizer(rates), self.scaler()
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [g["lr"] for g in optimizer.param_groups], total_steps=self.job.steps + 1, pct_start=0.25
        )
        self.train()
        losses = []
        for batch in self.batches():
            losses.append(self.step(batch, optimizer, scaler))
            schedule.step()
        return torch.stack(losses).mean().item()

    def finder(self):
        """fastai's lr_find, without its stop; what it changes is put back."""
        saved = copy.deepcopy(self.net.state_dict())
        optimizer, scaler = self.optimizer(RATES), self.scaler()
        ratios = [g["lr"] / TOP_LR for g in optimizer.param_groups]
        self.train()
        batches, average, smoothed = iter(()), 0, []
        for i in range(self.job.finder_steps):
            rate = FINDER_START * (FINDER_END / FINDER_START) ** (i / self.job.finder_steps)
            for group, ratio in zip(optimizer.param_groups, ratios):
                group["lr"] = rate * ratio
            batch = next(batches, None)
            if batch is None:
                batches = self.batches()
                batch = next(batches)
            average = FINDER_BETA * average + (1 - FINDER_BETA) * self.step(batch, optimizer, scaler).item()
            smoothed.append(average / (1 - FINDER_BETA ** (i + 1)))
        self.net.load_state_dict(saved)
        return smoothed[-1]

    def run(self, stage):
        if stage == "check":
            self.net.eval()
            with torch.no_grad():
                return dict(loss=self.loss(*(t[: self.job.batch] for t in self.host)).item())
        self.freeze(stage == "head")
        if stage == "head":
            return self.timed(self.job.steps, lambda: self.one_cycle([HEAD_LR]))
        if stage == "thawed":
            return self.timed(self.job.steps, lambda: self.one_cycle(RATES))
        return self.timed(self.job.finder_steps, self.finder)

    def timed(self, steps, stage):
        cuda = self.device.type == "cuda"
        if cuda:
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        start = time.perf_counter()
        loss = stage()
        if cuda:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        peak = (torch.cuda.max_memory_allocated() - self.data_bytes) / 2**20 if cuda else None
        return dict(seconds=seconds, steps=steps, loss=loss, peak_mb=peak)


def described():
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return f"{gpu}PyTorch {torch.__version__}, torchvision {torchvision.__version__}, " + (
        f"TF32 of matrix products {'on' if torch.backends.cuda.matmul.allow_tf32 else 'off'}, "
        f"of convolutions {'on' if torch.backends.cudnn.allow_tf32 else 'off'}"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compile", metavar="MODE")
    mode = parser.parse_args().compile
    side, shape, data = None, None, None
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print there, not among the answers
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if "job" in request:
                job = argparse.Namespace(**{**JOB, **request["job"]})
                side = None
                if shape != (wanted := (job.steps * job.batch, job.pixels, job.classes)):
                    torch.manual_seed(0)  # the same numbers as LibTorch's
                    images = torch.randn(wanted[0], 3, job.pixels, job.pixels)
                    shape, data = wanted, (images, torch.randint(job.classes, wanted[:1]))
                torch.compiler.reset()
                side = Side(job, *data, mode)
                answer = dict(machine=described())
            else:
                answer = side.run(request["stage"])
        except Exception as error:  # a side that fails is left out; the others go on
            answer = dict(error=f"{type(error).__name__}: {error}")
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
