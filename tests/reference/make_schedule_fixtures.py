#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/schedule/torch_schedules.json: what PyTorch's own schedulers put in force for every step, and
two schedules typed from their sources, ULMFiT's and fastai v1's, which today's libraries no longer have.

    pip install torch==2.13.0
    make_schedule_fixtures.py
"""
import json
import math
from pathlib import Path

import torch
from torch.optim import lr_scheduler

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "schedule" / "torch_schedules.json"
PEAK = 0.01


def torch_rates(steps, make, every=1):
    """Peak-relative rates of `steps` optimizer steps; the scheduler is stepped after each `every` of them."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = make(optimizer)
    rates = []
    for step in range(steps):
        rates.append(optimizer.param_groups[0]["lr"] / PEAK)
        optimizer.step()
        if (step + 1) % every == 0:
            scheduler.step()
    return rates


def run(name, kwargs, steps, make, every=1):
    return {"schedule": name, "kwargs": kwargs, "steps": steps, "steps_per_epoch": every,
            "lr": torch_rates(steps, make, every)}


def slanted_triangular(steps, cut_frac, ratio):
    """arXiv:1801.06146, equation 3; p cut at 0, where the paper's goes below."""
    cut = math.floor(steps * cut_frac)
    rates = []
    for t in range(steps):
        if cut == 0:
            p = 1 - t / steps
        else:
            p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        rates.append((1 + max(p, 0) * (ratio - 1)) / ratio)
    return {"schedule": "SlantedTriangular", "kwargs": {"cut_frac": cut_frac, "ratio": ratio}, "steps": steps,
            "steps_per_epoch": 1, "lr": rates}


class V1Scheduler:
    """fastai v1, fastai/callback.py: Scheduler, with annealing_cos."""

    def __init__(self, start, end, n_iter):
        self.start, self.end, self.n_iter, self.n = start, end, max(1, n_iter), 0

    def step(self):
        self.n += 1
        return self.end + (self.start - self.end) / 2 * (math.cos(math.pi * self.n / self.n_iter) + 1)

    @property
    def is_done(self):
        return self.n >= self.n_iter


def one_cycle_v1(steps, pct_start, div_factor, final_div):
    """fastai v1, fastai/callbacks/one_cycle.py: OneCycleScheduler, at lr_max 1."""
    final = div_factor * 1e4 if final_div is None else final_div
    a1 = int(steps * pct_start)
    a2 = steps - a1
    lr_scheds = [V1Scheduler(1 / div_factor, 1, a1), V1Scheduler(1, 1 / final, a2)]
    mom_scheds = [V1Scheduler(0.95, 0.85, a1), V1Scheduler(0.85, 0.95, a2)]
    lr, mom, lrs, moms, i = lr_scheds[0].start, mom_scheds[0].start, [], [], 0
    for _ in range(steps):
        lrs.append(lr)
        moms.append(mom)
        if i < 2:
            lr, mom = lr_scheds[i].step(), mom_scheds[i].step()
            i += lr_scheds[i].is_done
    kwargs = {"pct_start": pct_start, "div_factor": div_factor}
    if final_div is not None:
        kwargs["final_div"] = final_div
    return {"schedule": "OneCycleV1", "kwargs": kwargs, "steps": steps, "steps_per_epoch": 1, "lr": lrs, "mom": moms}


def main():
    runs = []
    for steps, end in [(40, 0.0), (97, 0.1)]:
        runs.append(run("Cosine", {"end": end}, steps,
                        lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=steps, eta_min=end * PEAK)))
    for cycles, mult, first, end in [(3, 2, 10, 0.0), (4, 1, 9, 0.05), (3, 3, 5, 0.0)]:
        steps = sum(first * mult**i for i in range(cycles))
        runs.append(run("CosineRestarts", {"cycles": cycles, "mult": mult, "end": end}, steps,
                        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, first, mult, eta_min=end * PEAK)))
    for power in [1.0, 0.9, 2.0]:
        runs.append(run("Polynomial", {"power": power}, 37,
                        lambda o: lr_scheduler.PolynomialLR(o, total_iters=37, power=power)))
    for end in [0.01, 0.5]:
        runs.append(run("Exponential", {"end": end}, 41,
                        lambda o: lr_scheduler.ExponentialLR(o, gamma=end ** (1 / 41))))
    for end in [0.0, 0.25]:
        runs.append(run("Linear", {"end": end}, 33,
                        lambda o: lr_scheduler.LinearLR(o, start_factor=1, end_factor=end, total_iters=33)))
    for every, gamma in [(7, 0.1), (2, 0.5)]:
        runs.append(run("StepDecay", {"every_epochs": every, "gamma": gamma}, 60,
                        lambda o: lr_scheduler.StepLR(o, step_size=every, gamma=gamma), every=3))
    for epochs, gamma in [([3, 8], 0.1), ([1, 2, 5, 11], 0.5)]:
        runs.append(run("MultiStep", {"epochs": epochs, "gamma": gamma}, 60,
                        lambda o: lr_scheduler.MultiStepLR(o, milestones=epochs, gamma=gamma), every=4))
    for warm, start in [(10, 1e-8), (7, 0.25)]:  # PyTorch wants a start above 0
        runs.append(run("warm_up(Cosine)", {"steps": warm, "start": start}, 50, lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.LinearLR(o, start_factor=start, total_iters=warm),
                lr_scheduler.CosineAnnealingLR(o, T_max=50 - warm)], milestones=[warm])))
    for warm in [1, 6]:  # Hugging Face's get_linear_schedule_with_warmup, its lambda
        runs.append(run("warm_up(Linear)", {"steps": warm, "start": 0.0}, 30, lambda o: lr_scheduler.LambdaLR(
            o, lambda i: i / warm if i < warm else (30 - i) / (30 - warm))))
    for steps, cut_frac, ratio in [(100, 0.1, 32), (97, 0.1, 32), (19, 0.1, 32), (5, 0.1, 32), (64, 0.25, 8)]:
        runs.append(slanted_triangular(steps, cut_frac, ratio))
    for steps, pct_start, div_factor, final_div in [(97, 0.3, 25, None), (50, 0.5, 10, 1e3), (3, 0.3, 25, None), (1, 0.3, 25, None)]:
        runs.append(one_cycle_v1(steps, pct_start, div_factor, final_div))
    about = (f"By tests/reference/make_schedule_fixtures.py, torch {torch.__version__.split('+')[0]}: "
             "multipliers of the peak rate in force for every step.")
    OUT.write_text(json.dumps({"_about": about, "runs": runs}, separators=(",", ":")))


if __name__ == "__main__":
    main()
