#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What including thaw costs a compiler, as the table and the JSON rows of benchmarks/bench.hpp.

    ./dev bench && benchmarks/compile_time.py [--quick] [--rounds N] [--O0] [--headers] [--json FILE] [--build DIR]

Compiles small generated files with the compiler and flags of the bench build, but at -O2 (and at -O0, by --O0) and
without a precompiled header. A program with a Learner, and one with checkpoints, stand against the same by hand on
LibTorch: header-only (thaw::thaw) and compiled (thaw::compiled, which defines THAW_COMPILED; its library is built once
and is not in the rows). The sides of a row are compiled at once, so that all have the same machine; seconds are
processor time (user and system), medians over rounds; --quick takes one, and leaves checkpoints out. Rows without a
target are for information. --headers adds each room's headers, and every header, each alone in a file: a quarter of an
hour more.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rows import row, table

ROOT = Path(__file__).resolve().parent.parent
HEADERS = ROOT / "include" / "thaw"
AT_ONCE = 2

# A file without LibTorch that plans a head stage and a thawed one.
PLAN = """#include <vector>
#include <thaw/groups/freeze_policy.hpp>
#include <thaw/groups/rates.hpp>
#include <thaw/schedule/cosine.hpp>
#include <thaw/schedule/one_cycle.hpp>

struct Part {
  thaw::AnyFreezePolicy freeze;
  thaw::DiscriminativeLR lr;
  thaw::AnySchedule schedule;
};
std::vector<Part> plan() {
  return {{thaw::FreezeTo{-1}, 2e-3, thaw::OneCycle{.pct_start = 0.3}},
          {thaw::Unfrozen{}, thaw::DiscriminativeLR::slice(1e-6, 1e-4), thaw::Cosine{}}};
}
double last_rate(const Part& part) { return part.schedule(thaw::Progress{9, 10, 5}).lr * part.lr(3).back(); }
"""

# The same with all of their headers, with stages and what combines policies and schedules.
LARGE_PLAN = """
std::vector<thaw::Stage> plan() {
  using namespace thaw;
  return {{.name = "head", .epochs = 1, .freeze = FreezeTo{-1}, .lr = 2e-3},
          {.name = "unfreeze", .epochs = 4, .freeze = GradualUnfreeze{.every = Epochs{1}} || FreezeWhere{"stem"},
           .lr = DiscriminativeLR::decay(1e-3), .schedule = OneCycle{.pct_start = 0.3}},
          {.name = "all", .epochs = 3, .freeze = Unfrozen{}, .lr = DiscriminativeLR::slice(1e-6, 1e-4),
           .schedule = warm_up(Cosine{}, Epochs{1})}};
}
double last_rate(const thaw::Stage& stage) { return stage.schedule(thaw::Progress{9, 10, 5}).lr * stage.lr(3).back(); }
"""

WITH_THAW = """#include <torch/torch.h>
#include <thaw/thaw.hpp>

void fine_tune(torch::nn::Sequential model, const thaw::InMemory& train, const thaw::InMemory& valid) {
  auto groups = thaw::LayerGroups::cut_before(model, {"4", "8"});
  thaw::Learner learner{model, groups, thaw::cross_entropy,
                        {.train = train, .valid = valid, .metrics = {thaw::accuracy()}, .callbacks = {thaw::Console{}}}};
  learner.fit({.name = "head", .epochs = 3, .freeze = thaw::FreezeTo{-1}, .lr = 3e-3});
  learner.unfreeze(thaw::hold_everywhere);
  thaw::write_svg(learner.find_lr(), "lr_finder.svg");
  learner.fit({.name = "all", .epochs = 5, .lr = thaw::DiscriminativeLR::slice(1e-4, 1e-3)});
  learner.save("model.pt");
}
"""

def with_checkpoints(program):
    """The same program, which goes on after a kill."""
    program = program.replace("#include <thaw/thaw.hpp>", "#include <thaw/checkpoint/checkpoint.hpp>\n"
                              "#include <thaw/checkpoint/resume.hpp>\n#include <thaw/thaw.hpp>")
    first, rest = program.split("  learner.fit(", 1)
    return first + "  thaw::resume(learner, \"run\");\n  learner.fit(" + rest.replace("3e-3});", "3e-3}, thaw::Checkpoint{\"run\"});")


# The same by hand, as far as that goes without half a library: no finder, no plot.
BY_HAND = """#include <torch/torch.h>

#include <cmath>
#include <iostream>

struct Data : torch::data::datasets::Dataset<Data> {
  at::Tensor input, target;
  Data(at::Tensor x, at::Tensor y) : input(std::move(x)), target(std::move(y)) {}
  torch::data::Example<> get(std::size_t i) override {
    return {input[static_cast<std::int64_t>(i)], target[static_cast<std::int64_t>(i)]};
  }
  std::optional<std::size_t> size() const override { return static_cast<std::size_t>(input.size(0)); }
};

template <class Loader>
void train(torch::nn::Sequential& model, Loader& loader, torch::optim::AdamW& optimizer, int epochs,
           std::vector<double> peaks, double steps_per_epoch, bool hold) {
  double step = 0;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    model->train();
    if (hold)
      for (auto& module : model->modules())
        if (auto* norm = module->as<torch::nn::BatchNorm2d>()) norm->eval();
    double sum = 0;
    for (auto& batch : loader) {
      const double t = step++ / (epochs * steps_per_epoch);
      const double rate = t < 0.25 ? 0.5 * (1 - std::cos(M_PI * t / 0.25)) : 0.5 * (1 + std::cos(M_PI * (t - 0.25) / 0.75));
      for (std::size_t g = 0; g < peaks.size(); ++g)
        static_cast<torch::optim::AdamWOptions&>(optimizer.param_groups()[g].options()).lr(peaks[g] * rate);
      const auto loss = torch::nn::functional::cross_entropy(model->forward(batch.data), batch.target);
      loss.backward();
      optimizer.step();
      optimizer.zero_grad();
      sum += loss.template item<double>();
    }
    std::cout << "epoch " << epoch << ": loss " << sum / steps_per_epoch << "\\n";
  }
}

template <class Loader>
double accuracy(torch::nn::Sequential& model, Loader& loader, double samples) {
  torch::NoGradGuard no_grad;
  model->eval();
  double right = 0;
  for (auto& batch : loader) right += model->forward(batch.data).argmax(1).eq(batch.target).sum().template item<double>();
  return right / samples;
}

void fine_tune(torch::nn::Sequential model, Data train_data, Data valid_data) {
  const auto steps = static_cast<double>((*train_data.size() + 63) / 64);
  auto train_loader = torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
      std::move(train_data).map(torch::data::transforms::Stack<>()), 64);
  const auto samples = static_cast<double>(*valid_data.size());
  auto valid_loader = torch::data::make_data_loader<torch::data::samplers::SequentialSampler>(
      std::move(valid_data).map(torch::data::transforms::Stack<>()), 64);
  std::vector<torch::optim::OptimizerParamGroup> groups;
  std::vector<at::Tensor> now;
  for (const auto& child : model->named_children()) {
    if (child.key() == "4" || child.key() == "8") groups.emplace_back(std::exchange(now, {}));
    for (const auto& parameter : child.value()->parameters()) now.push_back(parameter);
  }
  groups.emplace_back(now);
  torch::optim::AdamW optimizer(groups, torch::optim::AdamWOptions(1e-3));
  for (std::size_t g = 0; g + 1 < groups.size(); ++g)
    for (auto& parameter : groups[g].params()) parameter.set_requires_grad(false);
  train(model, *train_loader, optimizer, 3, {0, 0, 3e-3}, steps, true);
  for (auto& parameter : model->parameters()) parameter.set_requires_grad(true);
  train(model, *train_loader, optimizer, 5, {1e-4, 3e-4, 1e-3}, steps, true);
  std::cout << "accuracy " << accuracy(model, *valid_loader, samples) << "\\n";
  torch::save(model, "model.pt");
}
"""


def includes(headers):
    return "".join(f"#include <{header}>\n" for header in headers)


def public_headers(room):
    return sorted(f"thaw/{room}/{path.name}" for path in (HEADERS / room).glob("*.hpp"))


def plan_headers():
    groups = [f"thaw/groups/{name}.hpp" for name in ("freeze_combine", "freeze_policy", "gradual_unfreeze", "rates")]
    return groups + public_headers("schedule") + ["thaw/train/stage.hpp"]


def bench_command(build):
    """The words of the command that compiles a benchmark, up to what depends on the file."""
    cache = build / "CMakeCache.txt"
    if not cache.exists():
        sys.exit(f"{cache} is missing: run ./dev bench, or name its folder by --build")
    ninja = next(line.split("=", 1)[1] for line in cache.read_text().splitlines() if line.startswith("CMAKE_MAKE_PROGRAM"))
    made = subprocess.run([ninja, "-C", str(build), "-t", "compdb"], check=True, capture_output=True, text=True)
    words = next(
        shlex.split(entry["command"])
        for entry in json.loads(made.stdout)
        if entry["file"].endswith("step_overhead.cpp") and entry["output"].endswith(".o")
    )
    kept, rest = [], iter(words)
    for word in rest:
        if word in ("-include", "-MT", "-MF", "-o", "-c"):
            next(rest)
        elif word not in ("-MD", "-Winvalid-pch") and not word.startswith("-O"):
            kept.append(word)
    assert any(word.startswith("-I") or word == "-isystem" for word in kept), "the bench build names no include folder"
    return kept


class Compiler:
    def __init__(self, command, folder):
        self.command, self.folder, self.count = command, Path(folder), 0

    def __call__(self, side):
        """Processor seconds that one file takes: a side is its text, and flags."""
        code, *flags = side
        self.count += 1
        file = self.folder / f"file_{self.count}.cpp"
        file.write_text(code)
        command = [*self.command, *(flags or ["-O0"]), "-o", f"{file}.o", "-c", str(file)]
        child = subprocess.Popen(command, env=os.environ | {"LC_ALL": "C"})
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            sys.exit(f"a file of this benchmark does not compile:\n{code}")
        return usage.ru_utime + usage.ru_stime


def medians(compiler, sides, rounds):
    """Median seconds of each side; all sides of a round are compiled at once, in turns."""
    seconds = [[] for _ in sides]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for turn in range(rounds):
            order = [(i + turn) % len(sides) for i in range(len(sides))]
            for side, took in zip(order, pool.map(compiler, [sides[i] for i in order])):
                seconds[side].append(took)
    return [statistics.median(each) for each in seconds]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one round, without checkpoints")
    parser.add_argument("--rounds", type=int, help="5; with --quick 1")
    parser.add_argument("--O0", action="store_true", help="at -O0, too")
    parser.add_argument("--headers", action="store_true", help="each room and each header, too")
    parser.add_argument("--json", metavar="FILE", help="write the rows to this file")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "bench", help="the bench build")
    arguments = parser.parse_args()

    rounds = arguments.rounds or (1 if arguments.quick else 5)
    rows = []

    def add(name, ours, theirs, limit=None):
        rows.append(row(name, ours, theirs, "s", limit))

    with tempfile.TemporaryDirectory() as folder:
        compiler = Compiler(bench_command(arguments.build), folder)
        programs = {"a Learner": WITH_THAW}
        if not arguments.quick:
            programs["a Learner and checkpoints"] = with_checkpoints(WITH_THAW)
        for level in ("-O0", "-O2") if arguments.O0 else ("-O2",):
            sides = [(BY_HAND, level)]
            for program in programs.values():
                sides += [(program, level), (program, level, "-DTHAW_COMPILED")]
            by_hand, *ours = medians(compiler, sides, rounds)
            for i, name in enumerate(programs):
                add(f"{level}: {name}, header-only, by hand on LibTorch", ours[2 * i], by_hand, 2)
                add(f"{level}: {name}, compiled, by hand on LibTorch", ours[2 * i + 1], by_hand, 1.15)
        plans = [(PLAN,), (includes(plan_headers()) + LARGE_PLAN,)]
        small, large = medians(compiler, plans, max(3, rounds))
        add("schedules, rates and policies, against 1 s", small, 1, 1)
        add("all of their headers, and stages, against 1 s", large, 1)
        if arguments.headers:
            torch_only = "#include <torch/torch.h>\n"
            both = [(torch_only + "#include <thaw/thaw.hpp>\n",), (torch_only,)]
            ours, torch_seconds = medians(compiler, both, rounds)
            add("thaw.hpp after torch/torch.h, against torch/torch.h", ours, torch_seconds)
            rooms = [path.name for path in sorted(HEADERS.iterdir()) if path.is_dir()]
            codes = [includes(public_headers(room)) for room in rooms]
            for room, seconds in zip(rooms, medians(compiler, [(code,) for code in codes], 1)):
                add(f"{room}/*.hpp, against torch/torch.h", seconds, torch_seconds)
            headers = [header for room in rooms for header in public_headers(room)]
            each = zip(medians(compiler, [(f"#include <{header}>\n",) for header in headers], 1), headers)
            for seconds, header in sorted(each, reverse=True):
                add(f"{header} alone, against torch/torch.h", seconds, torch_seconds)
    print(table(rows))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
