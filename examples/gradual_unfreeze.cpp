// SPDX-License-Identifier: BSD-3-Clause
// ULMFiT's three ideas (Howard & Ruder 2018, arXiv:1801.06146):
//
//   discriminative rates: each layer group at 1/2.6 of the rate of the one after it
//   slanted triangular rates: a short rise, a long fall
//   gradual unfreezing: the last group alone in the first epoch, then one more in each
//
// EfficientNet-lite0 from ImageNet, in four groups, learns ten kinds of clothes from 512 images.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ATen/Context.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/thaw.hpp>
#include <thaw/weights/load.hpp>
#include <vector>

#include "fashion_mnist.hpp"

namespace {

/// Notes which groups train in each epoch. A callback is any class with any of the handlers.
struct WhatTrains {
  std::vector<std::vector<std::string>> epochs = {};

  void on_epoch_begin(const thaw::EpochBegin& now) {
    const thaw::LayerGroups& groups = now.learner.groups();
    std::vector<std::string>& names = epochs.emplace_back();
    for (std::size_t i = 0; i < groups.size(); ++i)
      if (!groups.frozen()[i]) names.push_back(groups[i].name);
  }

  void on_epoch_end(const thaw::EpochEnd& now) const {
    fmt::print("epoch {}: accuracy {:.3f}, trained {}\n", now.record.epoch, now.record.valid->metrics[0].value,
               fmt::join(epochs.back(), " | "));
  }
};

}  // namespace

int main() try {
  const std::filesystem::path folder = THAW_DATA_DIR;
  const auto train = example::batches(example::fashion_mnist(folder / "fashion-mnist", "train", 512), 64, true);
  const auto valid = example::batches(example::fashion_mnist(folder / "fashion-mnist", "t10k", 512), 64, false);

  at::manual_seed(42);
  auto model = thaw::models::efficientnet_lite0();
  thaw::load_weights(model, folder / "efficientnet-lite0-57934424.pth");
  thaw::models::replace_head(model, /*classes=*/10);
  auto groups = thaw::LayerGroups::cut_before(model, {"_blocks.5", "_blocks.11", "head"});
  thaw::Learner learner{
      model, groups, thaw::cross_entropy, {.train = train, .valid = valid, .metrics = {thaw::accuracy()}}};

  WhatTrains what_trains;
  learner.fit({.name = "gradual",
               .epochs = 4,
               .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}},
               .lr = thaw::DiscriminativeLR::decay(3e-3, 2.6),
               .schedule = thaw::SlantedTriangular{.cut_frac = 0.1, .ratio = 32},
               .norm = thaw::hold_everywhere},
              std::ref(what_trains));  // by reference: its notes are read below

  const std::vector<std::vector<std::string>> expected{
      {"head"},
      {"_blocks.11", "head"},
      {"_blocks.5", "_blocks.11", "head"},
      {"_conv_stem", "_blocks.5", "_blocks.11", "head"},
  };
  if (what_trains.epochs != expected) {
    fmt::print(stderr, "other groups trained than ULMFiT would have\n");
    return EXIT_FAILURE;
  }
  fmt::print("ok: one more group in each epoch\n");
} catch (const thaw::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
