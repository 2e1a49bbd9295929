// SPDX-License-Identifier: BSD-3-Clause
// The tutorial, docs/tutorial/, as one program: its pages show this code, piece by piece, to the letter.
//
//     tutorial         # 2,000 images
//     tutorial 500

#include <fmt/format.h>

#include <ATen/Context.h>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/thaw.hpp>
#include <thaw/train/keep_best.hpp>
#include <thaw/weights/export.hpp>
#include <thaw/weights/load.hpp>
#include <vector>

#include "fashion_mnist.hpp"

namespace {

const std::string data = THAW_DATA_DIR;
constexpr std::int64_t size = 64;  // pixels

thaw::models::EfficientNetLite pretrained() {
  auto model = thaw::models::efficientnet_lite0();
  thaw::load_weights(model, data + "/efficientnet-lite0-57934424.pth");  // names all that does not fit
  thaw::models::replace_head(model, /*classes=*/10);
  return model;
}

void run(std::int64_t images) {
  // ---- 1. a pretrained network and its layer groups
  at::manual_seed(42);
  auto model = pretrained();
  auto groups = thaw::LayerGroups::cut_before(model, {"_blocks.5", "head"});
  fmt::print("{}\n", groups);

  const auto train = example::batches(example::fashion_mnist(data + "/fashion-mnist", "train", images), size, true);
  const auto valid = example::batches(example::fashion_mnist(data + "/fashion-mnist", "t10k", images), size, false);
  thaw::Learner learner{
      model,
      groups,
      thaw::cross_entropy,
      {.train = train, .valid = valid, .metrics = {thaw::accuracy()}, .callbacks = {thaw::Console{}}}};

  // ---- 2. the head alone
  learner.freeze();
  learner.fit({.name = "head", .epochs = 3, .lr = 3e-3, .cache = thaw::Cache::memory});

  // ---- 3. finding a rate
  learner.unfreeze(thaw::hold_everywhere);
  const thaw::LRCurve curve = learner.find_lr({.rates = thaw::DiscriminativeLR::slice(0.1, 1)});
  fmt::print("{}\n", curve);
  thaw::write_svg(curve, "lr_finder.svg");
  const double lr = thaw::recommended_lr(curve);

  // ---- 4. thawing
  const std::vector<thaw::Stage> plan{
      {.name = "late blocks", .epochs = 1, .freeze = thaw::FreezeTo{1}, .lr = lr},
      {.name = "all",
       .epochs = 3,
       .freeze = thaw::Unfrozen{},
       .lr = thaw::DiscriminativeLR::slice(lr / 10, lr),
       .schedule = thaw::OneCycle{}},
  };
  fmt::print("{}\n", learner.describe(plan));
  thaw::write_svg(learner.describe(plan), "plan.svg");
  learner.fit(plan, thaw::KeepBest{"accuracy"});

  // ---- 5. until it overfits
  const thaw::UntilOverfitResult overfit = learner.fit_until_overfit(
      {.max_rounds = 3, .finder = {.steps = 40}, .max_lr = lr, .norm = thaw::hold_everywhere});
  fmt::print("{}; the best was {}\n", overfit.stop, overfit.rounds[overfit.best].last.stage);

  // ---- 6. results, files
  const std::vector<std::string>& names = example::fashion_classes;
  const thaw::ClassResults results = thaw::class_results(learner, valid, {.classes = names}, {.most = 12});
  fmt::print("{}\n", results);  // confusion matrix, most frequent mistakes, scores of each class
  thaw::write_svg(results.matrix, "confusion.svg");
  thaw::write_svg(learner.history(), "run.svg");

  learner.save("tutorial.pt");  // weights and the optimizer's state: to train on
  const auto& mean = thaw::models::efficientnet_lite_mean;
  const auto& std = thaw::models::efficientnet_lite_std;
  thaw::export_model(model, "tutorial.safetensors",  // weights, classes, preprocessing: to use
                     {.model = "efficientnet_lite0",
                      .classes = names,
                      .mean = {mean.begin(), mean.end()},
                      .std = {std.begin(), std.end()},
                      .image_size = size});
  fmt::print("ok: accuracy {:.3f}\n", learner.validate().metrics[0].value);
}

}  // namespace

int main(int argc, char** argv) try {
  run(argc > 1 ? std::stoll(argv[1]) : 2000);
} catch (const thaw::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return EXIT_FAILURE;
}
