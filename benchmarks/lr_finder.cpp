// SPDX-License-Identifier: BSD-3-Clause
// What the LR finder costs: 100 steps of it against 100 plain steps of the same Learner and one copy of all that it
// must put back. resnet18 at 64 pixels (32 if --quick), batches of 16, thawed; the optimizer has its state, of some
// steps before.
//
//   cmake --preset bench && cmake --build --preset bench && build/bench/benchmarks/lr_finder

#include "bench.hpp"

#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <torch/optim/adamw.h>

#include <thaw/models/resnet.hpp>
#include <thaw/thaw.hpp>

namespace {

constexpr std::int64_t steps = 100, batch_size = 16, classes = 10;

/// Parameters, buffers and the optimizer's state, copied by hand.
std::vector<at::Tensor> copy_of(torch::nn::Module& model, torch::optim::Optimizer& optimizer) {
  std::vector<at::Tensor> copies;
  for (const auto& tensors : {model.parameters(), model.buffers()})
    for (const at::Tensor& tensor : tensors) copies.push_back(tensor.detach().clone());
  for (const auto& each : optimizer.state()) {
    const auto& state = static_cast<const torch::optim::AdamWParamState&>(*each.second);
    copies.push_back(state.exp_avg().clone());
    copies.push_back(state.exp_avg_sq().clone());
  }
  return copies;
}

}  // namespace

int main(int count, char** words) {
  const bench::Arguments arguments(count, words);
  at::manual_seed(0);
  const std::int64_t pixels = arguments.quick ? 32 : 64;
  const at::Tensor input = at::randn({steps * batch_size, 3, pixels, pixels});
  const at::Tensor target = at::randint(classes, {steps * batch_size}, at::kLong);
  thaw::models::ResNet model = thaw::models::resnet18({.classes = classes});
  thaw::Learner learner{
      model,
      thaw::LayerGroups::cut_before(model, {"layer3", "fc"}),
      thaw::cross_entropy,
      {.train = thaw::InMemory({.input = input, .target = target, .batch_size = batch_size, .shuffle = true})}};
  learner.unfreeze();

  std::size_t copies = 0;
  const auto finder = [&] {
    const thaw::LRCurve curve = learner.find_lr({.end_lr = 1e-2, .steps = steps, .stop_early = false});
    if (curve.lr.size() != static_cast<std::size_t>(steps)) throw std::runtime_error("the sweep ended early");
  };
  const auto plain = [&] { (void)learner.fit({.lr = 1e-4}); };  // one epoch is as many steps
  const auto copy = [&] { copies = copy_of(*model, learner.optimizer()).size(); };
  plain();
  const auto seconds = bench::interleaved(arguments.quick ? 2 : 3, {finder, plain, copy});
  fmt::print("a copy of the state, {} tensors: {:.3g} s\n", copies, seconds[2]);
  bench::Report report;
  report.add("LR finder of 100 steps, plain steps and a copy", seconds[0], seconds[1] + seconds[2], "s",
             bench::Target::at_most, 1.02);
  report.finish(arguments);
}
