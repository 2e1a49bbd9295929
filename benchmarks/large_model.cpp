// SPDX-License-Identifier: BSD-3-Clause
// A checkpoint of a model of 2 GB: how long it takes to write and to resume, how large it is, and how much memory both
// need beside what training needs (weights, gradients, momenta: 3 times the model).
//
//   cmake --preset bench && cmake --build --preset bench && build/bench/benchmarks/large_model [folder]
//
// Needs 10 GB of memory and 16 GB of disk. Ends with "bit for bit: yes" if the resumed run equals one that went on.

#include "bench.hpp"

#include <unistd.h>

#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <fmt/format.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <thaw/checkpoint/checkpoint.hpp>
#include <thaw/optim/sgd.hpp>
#include <thaw/thaw.hpp>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t width = 15'800, layers = 2;  // 2 x 15800 x 15800 numbers of 4 bytes

/// The most that the process needed since the last call, in GB.
double peak() {
  const double most = bench::status_kb("VmHWM:") / 1e6;
  std::ofstream("/proc/self/clear_refs") << "5";
  return most;
}

struct Watch {
  Clock::time_point* last;
  double* seconds;
  void on_step_end(const thaw::StepEnd&) const { *last = Clock::now(); }
  void on_safe_point(const thaw::SafePoint& event) const {
    if (event.after == thaw::SafePoint::After::step)
      *seconds = std::chrono::duration<double>(Clock::now() - *last).count();
  }
};

struct Run {
  torch::nn::Sequential net;
  thaw::Learner learner;
};

Run make() {
  at::manual_seed(1);
  torch::nn::Sequential net;
  for (std::int64_t i = 0; i < layers; ++i)
    net->push_back(torch::nn::Linear(torch::nn::LinearOptions(width, width).bias(false)));
  thaw::LearnerOptions options{
      .train =
          thaw::InMemory({.input = at::randn({8, width}), .target = at::randint(9, {8}, at::kLong), .batch_size = 4}),
      .optimizer = [](const thaw::LayerGroups& groups) -> std::unique_ptr<torch::optim::Optimizer> {
        return std::make_unique<thaw::SGD>(groups, torch::optim::SGDOptions(0.1).momentum(0.9));
      }};
  return {net, thaw::Learner(net, thaw::LayerGroups::per_child(net), thaw::cross_entropy, options)};
}

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path folder =
      (argc > 1 ? std::filesystem::path(argv[1]) : std::filesystem::temp_directory_path()) /
      fmt::format("thaw-large-model-{}", ::getpid());
  const thaw::Stage stage{.name = "all", .epochs = 1, .lr = 1e-4};
  std::vector<at::Tensor> expected;
  const double kept = static_cast<double>(layers * width * width * 4) / 1e9;  // by `expected`, from the first run on
  {
    Run run = make();
    fmt::print("model: {:.2f} GB\n", kept);
    run.learner.fit(stage);
    fmt::print("training without checkpoints: peak {:.2f} GB\n", peak());
    for (const at::Tensor& parameter : run.net->parameters()) expected.push_back(parameter.detach().clone());
  }
  {
    Run run = make();
    Clock::time_point last;
    double seconds = 0;
    (void)peak();
    run.learner.fit(stage, thaw::Checkpoint{.dir = folder, .every = {.epochs = 0, .steps = 1}, .keep = 3},
                    Watch{&last, &seconds});
    double size = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      size = static_cast<double>(entry.file_size()) / 1e9;
    fmt::print("a checkpoint: {:.2f} GB in {:.1f} s; training with them: peak {:.2f} GB\n", size, seconds,
               peak() - kept);
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder))  // the end is not to be gone on from
    if (entry.path().filename() != "checkpoint-00000001.safetensors") std::filesystem::remove(entry.path());
  Run run = make();
  for (at::Tensor parameter : run.net->parameters()) parameter.detach().zero_();
  (void)peak();
  const auto start = Clock::now();
  thaw::resume(run.learner, folder);
  run.learner.fit(stage, thaw::Checkpoint{.dir = folder, .every = {.epochs = 0}, .keep = 3});
  fmt::print("resumed and ended in {:.1f} s: peak {:.2f} GB\n",
             std::chrono::duration<double>(Clock::now() - start).count(), peak() - kept);
  bool same = true;
  for (std::size_t i = 0; i < expected.size(); ++i) same = same && run.net->parameters()[i].equal(expected[i]);
  std::filesystem::remove_all(folder);
  fmt::print("bit for bit: {}\n", same ? "yes" : "no");
  return same ? 0 : 1;
}
