// SPDX-License-Identifier: BSD-3-Clause
// A long run: a million steps of a tiny network, with a checkpoint every thousand. Memory, the time of a step and of a
// checkpoint, the checkpoint's size and the open files must not grow: after the history is full (65,536 steps) each is
// compared between the first half of what follows and the last.
//
//   cmake --preset bench && cmake --build --preset bench && build/bench/benchmarks/million_steps --svg long_run.svg
//
// It ends with "flat: yes", and exit status 0, if memory grew by less than 2 MB, checkpoints by nothing, and the times
// by less than a quarter: the medians of many, but on a machine that has other work they say little.

#include "bench.hpp"

#include <unistd.h>

#include <ATen/Parallel.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <fmt/format.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <thaw/checkpoint/checkpoint.hpp>
#include <thaw/report/svg.hpp>
#include <thaw/thaw.hpp>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t steps_per_epoch = 20'000, every = 1000;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double open_files() {
  return static_cast<double>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

/// One value of each per thousand steps.
struct Samples {
  std::vector<double> steps, memory, step, checkpoint, size, files;
};

/// Stands after Checkpoint, so that what it sees at a step's safe point includes the writing.
struct Watch {
  Samples* samples;
  std::filesystem::path folder;
  Clock::time_point began = Clock::now(), trained = began;

  void on_step_end(const thaw::StepEnd&) { trained = Clock::now(); }
  void on_safe_point(const thaw::SafePoint& event) {
    const std::int64_t done = event.learner.history().steps_done;
    if (event.after != thaw::SafePoint::After::step || done % every != 0) return;
    samples->steps.push_back(static_cast<double>(done));
    samples->step.push_back(std::chrono::duration<double>(trained - began).count() / every * 1e6);
    samples->checkpoint.push_back(seconds_since(trained) * 1e3);
    samples->memory.push_back(bench::status_kb("VmRSS:") / 1e3);
    samples->files.push_back(open_files());
    double size = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) size = static_cast<double>(entry.file_size());
    samples->size.push_back(size / 1e6);
    began = Clock::now();
  }
};

double largest(std::vector<double> values) {
  return *std::ranges::max_element(values);
}

/// The two halves of what came after the history was full, by a number each.
struct Halves {
  double first, last;
};
Halves halves(const Samples& samples, const std::vector<double>& values, double (*number)(std::vector<double>)) {
  const auto full = std::ranges::lower_bound(samples.steps, 131'072.0) - samples.steps.begin();
  const auto begin = values.begin() + (full < std::ssize(values) / 2 ? full : 0);
  const auto middle = begin + (values.end() - begin) / 2;
  return {number({begin, middle}), number({middle, values.end()})};
}

}  // namespace

int main(int argc, char** argv) {
  std::int64_t steps = 1'000'000;
  std::string svg;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--steps" && i + 1 < argc)
      steps = std::atoll(argv[++i]);
    else if (option == "--svg" && i + 1 < argc)
      svg = argv[++i];
    else
      return fmt::print(stderr, "usage: {} [--steps N] [--svg FILE]\n", argv[0]), 2;
  }
  at::set_num_threads(1);
  at::manual_seed(1);
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("thaw-million-steps-{}", ::getpid());

  torch::nn::Sequential net(torch::nn::Linear(8, 16), torch::nn::ReLU(), torch::nn::Linear(16, 4));
  const at::Tensor target = at::randint(4, {steps_per_epoch * 4}, at::kLong);
  thaw::Learner learner(net, thaw::LayerGroups::per_child(net), thaw::cross_entropy,
                        {.train = thaw::InMemory({.input = at::randn({target.size(0), 8}) + target.unsqueeze(1),
                                                  .target = target,
                                                  .batch_size = 4,
                                                  .shuffle = true})});
  Samples samples;
  const auto start = Clock::now();
  learner.fit({.name = "long", .epochs = std::max<std::int64_t>(steps / steps_per_epoch, 1), .lr = 1e-3},
              thaw::Checkpoint{.dir = folder, .every = {.epochs = 0, .steps = every}, .keep = 1},
              Watch{&samples, folder});
  std::filesystem::remove_all(folder);
  fmt::print("{} steps, {} checkpoints, {:.0f} s\n", learner.history().steps_done, samples.steps.size(),
             seconds_since(start));

  bool flat = true;
  const auto row = [&](std::string_view name, std::string_view unit, const std::vector<double>& values,
                       double (*number)(std::vector<double>), double share, double allowed) {
    const auto [first, last] = halves(samples, values, number);
    const bool grew = last > first * (1 + share) + allowed;
    flat = flat && !grew;
    fmt::print("| {} | {:.3g} {} | {:.3g} {} | {} |\n", name, first, unit, last, unit, grew ? "grew" : "flat");
  };
  fmt::print("\n| once the history is full | first half | last half | |\n|---|---|---|---|\n");
  row("resident memory, most", "MB", samples.memory, largest, 0, 2);
  row("a step, median", "us", samples.step, bench::median, 0.25, 0);
  row("a checkpoint written and flushed, median", "ms", samples.checkpoint, bench::median, 0.25, 0.2);
  row("a checkpoint's size, most", "MB", samples.size, largest, 0, 0.01);
  row("open files, most", "", samples.files, largest, 0, 0);
  if (!svg.empty()) {
    const auto panel = [&](std::string title, const std::vector<double>& y) {
      return thaw::Panel{
          .title = std::move(title), .y = {.lowest = 0}, .series = {{.x = samples.steps, .y = y}}, .height = 110};
    };
    thaw::write_svg(
        thaw::Figure{.title = "A million steps",
                     .x = {.label = "optimizer steps", .lowest = 0},
                     .panels = {panel("resident memory, MB", samples.memory), panel("a step, us", samples.step),
                                panel("a checkpoint, ms", samples.checkpoint), panel("its size, MB", samples.size),
                                panel("open files", samples.files)}},
        svg);
  }
  fmt::print("flat: {}\n", flat ? "yes" : "no");
  return flat ? 0 : 1;
}
