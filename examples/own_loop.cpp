// SPDX-License-Identifier: BSD-3-Clause
// Every piece of thaw without the Learner, in a loop of your own: layer groups, freezing, discriminative rates,
// one-cycle, the LR finder and metrics. Each is there by itself, and any torch::optim::Optimizer will do.
//
// EfficientNet-lite0 from ImageNet learns ten kinds of clothes from 512 images: first its new head alone, then thawed.

#include <fmt/format.h>

#include <ATen/Context.h>
#include <c10/core/GradMode.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/thaw.hpp>
#include <thaw/weights/load.hpp>

#include "fashion_mnist.hpp"

namespace {

using thaw::DiscriminativeLR;
using thaw::models::EfficientNetLite;

at::Tensor train_step(EfficientNetLite& model, torch::optim::Optimizer& optimizer, const thaw::Batch& batch) {
  optimizer.zero_grad();
  const at::Tensor loss = thaw::cross_entropy(model->forward(batch.input), batch.target);
  loss.backward();
  optimizer.step();
  return loss.detach();
}

/// One stage: one-cycle over so many epochs, each layer group at its own peak rate.
void train(EfficientNetLite& model, const thaw::LayerGroups& groups, torch::optim::Optimizer& optimizer,
           const thaw::InMemory& data, std::int64_t epochs, const DiscriminativeLR& lr) {
  const thaw::OneCycle schedule{};
  const thaw::OptimizerGroups rates{optimizer, groups};  // throws if they do not fit each other
  const std::vector<double> peak = lr(groups.size());
  groups.train();  // like model->train(), but norm layers that are held stay so
  thaw::BatchStream next;
  for (const thaw::Progress at : thaw::steps(epochs * data.batches(), data.batches())) {
    if (at.step % at.steps_per_epoch == 0) next = data.stream(at.epoch());
    rates.set(schedule(at.t()), peak);
    (void)train_step(model, optimizer, *next());
  }
}

/// The LR finder, with any function that does one step and returns its loss.
thaw::LRCurve find_lr(EfficientNetLite& model, const thaw::LayerGroups& groups, torch::optim::Optimizer& optimizer,
                      const thaw::InMemory& data, const DiscriminativeLR& ratios) {
  groups.train();
  thaw::BatchStream next = data.stream(0);
  const auto one_step = [&] {
    std::optional<thaw::Batch> batch = next();
    if (!batch) batch = (next = data.stream(0))();
    return train_step(model, optimizer, *batch).item<double>();
  };
  return thaw::LRFinder{.start_lr = 1e-5, .end_lr = 1, .steps = 40, .rates = ratios}.run(groups, optimizer, one_step);
}

double accuracy_of(EfficientNetLite& model, const thaw::LayerGroups& groups, const thaw::InMemory& data) {
  const c10::NoGradGuard no_grad;
  groups.eval();
  thaw::MetricTotal accuracy{thaw::accuracy()};
  thaw::BatchStream next = data.stream(0);
  while (const std::optional<thaw::Batch> batch = next()) accuracy.add(model->forward(batch->input), batch->target);
  return accuracy.values()[0].value;
}

}  // namespace

int main() try {
  const std::filesystem::path folder = THAW_DATA_DIR;
  const auto train_data = example::batches(example::fashion_mnist(folder / "fashion-mnist", "train", 512), 64, true);
  const auto valid_data = example::batches(example::fashion_mnist(folder / "fashion-mnist", "t10k", 512), 64, false);

  at::manual_seed(42);
  auto model = thaw::models::efficientnet_lite0();
  thaw::load_weights(model, folder / "efficientnet-lite0-57934424.pth");
  thaw::models::replace_head(model, /*classes=*/10);
  auto groups = thaw::LayerGroups::cut_before(model, thaw::models::efficientnet_lite_cuts());  // stem | late | head
  thaw::AdamW optimizer{groups};  // a torch::optim::AdamW; norms and biases do not decay

  (void)thaw::apply(thaw::FreezeTo{-1}, groups);  // all but the head: flags, gradients, batch norm held
  train(model, groups, optimizer, train_data, /*epochs=*/2, 3e-3);
  const double head_only = accuracy_of(model, groups, valid_data);
  fmt::print("head only: {:.3f}\n", head_only);

  const auto thawed_now = thaw::apply(thaw::Unfrozen{}, groups, thaw::hold_everywhere);
  thaw::forget_state(optimizer, thawed_now);  // from an earlier thaw, if there was one

  const auto ratios = DiscriminativeLR::slice(0.1, 1);  // the stem at a tenth of the head's rate
  const thaw::LRCurve curve = find_lr(model, groups, optimizer, train_data, ratios);
  const double lr = thaw::recommended_lr(curve);
  fmt::print("{}\nrate: {:.1e}\n", curve, lr);

  train(model, groups, optimizer, train_data, /*epochs=*/3, DiscriminativeLR::slice(0.1 * lr, lr));
  const double thawed = accuracy_of(model, groups, valid_data);
  fmt::print("thawed: {:.3f}\n", thawed);

  // Nothing above asks for thaw's own optimizer: LibTorch's SGD goes on for an epoch, on the same groups.
  torch::optim::SGD sgd{thaw::param_groups(groups), torch::optim::SGDOptions(1e-3).momentum(0.9)};
  train(model, groups, sgd, train_data, /*epochs=*/1, DiscriminativeLR::slice(1e-4, 1e-3));
  fmt::print("an epoch of SGD later: {:.3f}\n", accuracy_of(model, groups, valid_data));

  if (thawed <= head_only) {
    fmt::print(stderr, "thawing did not pay: head only {:.3f}, thawed {:.3f}\n", head_only, thawed);
    return EXIT_FAILURE;
  }
  fmt::print("ok: head only {:.2f}, thawed {:.2f}\n", head_only, thawed);
} catch (const thaw::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
