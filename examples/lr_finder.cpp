// SPDX-License-Identifier: BSD-3-Clause
// The LR finder, twice: on a Learner, and on a step function of your own. It trains for a hundred steps at rates that
// grow from 1e-7 to 10, and then nothing has changed: weights, batch norm's statistics, the optimizer's state, the
// random generator. This program looks.
//
//   lr_finder [folder for the SVG]

#include <fmt/format.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <thaw/thaw.hpp>
#include <vector>

#include "fashion_mnist.hpp"

namespace {

namespace nn = torch::nn;

nn::Sequential make_model() {
  return nn::Sequential(nn::Conv2d(nn::Conv2dOptions(1, 16, 3).stride(2)), nn::BatchNorm2d(16), nn::ReLU(),
                        nn::Conv2d(nn::Conv2dOptions(16, 32, 3).stride(2)), nn::BatchNorm2d(32), nn::ReLU(),
                        nn::AdaptiveAvgPool2d(1), nn::Flatten(), nn::Dropout(0.2), nn::Linear(32, 10));
}

/// Copies of all that the finder must leave as it was: parameters, buffers, the random generator.
std::vector<at::Tensor> state_of(const nn::Sequential& model) {
  std::vector<at::Tensor> state;
  for (const auto& all : {model->parameters(), model->buffers()})
    for (const at::Tensor& tensor : all) state.push_back(tensor.detach().clone());
  state.push_back(at::globalContext().defaultGenerator(at::kCPU).get_state());
  return state;
}

bool same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::ranges::equal(a, b, [](const at::Tensor& x, const at::Tensor& y) { return x.equal(y); });
}

}  // namespace

int main(int argc, char** argv) try {
  const std::filesystem::path folder = argc > 1 ? argv[1] : ".";
  const auto images = example::fashion_mnist(THAW_DATA_DIR "/fashion-mnist", "train", 2000);
  const thaw::InMemory train({.input = images.images,
                              .target = images.labels,
                              .batch_size = 64,
                              .shuffle = true,
                              .transform = [](const at::Tensor& bytes) { return bytes.to(at::kFloat) / 255; }});
  at::manual_seed(42);
  auto model = make_model();
  auto groups = thaw::LayerGroups::cut_at(model, {9});  // body | head
  thaw::Learner learner{model, groups, thaw::cross_entropy, {.train = train}};
  learner.fit({.name = "a little", .lr = 1e-3});  // so that there is something to lose
  const std::vector<at::Tensor> before = state_of(model);

  const thaw::LRCurve curve = learner.find_lr({.rates = thaw::DiscriminativeLR::slice(0.1, 1)});
  fmt::print("{}\n", curve);
  for (const thaw::Suggestion& suggestion : thaw::suggestions(curve))
    fmt::print("{:>8}: {:.1e}\n", suggestion.name, suggestion.lr);
  thaw::write_svg(curve, folder / "lr_finder.svg");
  fmt::print("plot: {}\n", (folder / "lr_finder.svg").string());

  // The same without a Learner: any optimizer over the groups, and a function that does one step.
  thaw::AdamW optimizer{groups};
  std::int64_t epoch = 0;
  thaw::BatchStream next = train.stream(epoch);
  const auto step = [&] {
    std::optional<thaw::Batch> batch = next();
    if (!batch) batch = (next = train.stream(++epoch))();
    optimizer.zero_grad();
    const at::Tensor loss = thaw::cross_entropy(model->forward<at::Tensor>(batch->input[0]), batch->target);
    loss.backward();
    optimizer.step();
    return loss.item<double>();
  };
  const thaw::LRCurve own = thaw::LRFinder{}.run(groups, optimizer, step);
  fmt::print("\nby a step function: {} of {} steps, valley at {:.1e}\n", own.lr.size(), own.planned,
             thaw::suggestion(own, "valley").value_or(0));

  if (!same(before, state_of(model)) || !optimizer.state().empty()) {
    fmt::print(stderr, "the finder changed something\n");
    return EXIT_FAILURE;
  }
  fmt::print("ok: nothing changed\n");
} catch (const thaw::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
