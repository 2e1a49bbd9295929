// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/recipe/recipe_text.hpp>
#include <thaw/recipe/run_plan.hpp>
#include <thaw/thaw.hpp>
#include <thaw/weights/load.hpp>

#include "fashion_mnist.hpp"  // the data: tensors of images and labels, in batches

int main() {
  auto model = thaw::models::efficientnet_lite0();
  thaw::load_weights(model, THAW_DATA_DIR "/efficientnet-lite0-57934424.pth");  // strict: names all that does not fit
  thaw::models::replace_head(model, /*classes=*/10);
  auto groups = thaw::LayerGroups::cut_before(model, {"_blocks.5", "head"});  // stem | late blocks | head
  auto train = example::batches(example::fashion_mnist(THAW_DATA_DIR "/fashion-mnist", "train", 2000), 64, true);
  auto valid = example::batches(example::fashion_mnist(THAW_DATA_DIR "/fashion-mnist", "t10k", 2000), 64, false);

  thaw::Learner learner{
      model,
      groups,
      thaw::cross_entropy,
      {.train = train, .valid = valid, .metrics = {thaw::accuracy()}, .callbacks = {thaw::Console{}}}};
  // No rate is given: the recipe tries the head on folds, trains it with the body frozen, thaws the rest at the rate
  // that the finder's curve bears, and keeps the best of all that it passed.
  const thaw::RecipePlan plan = thaw::make_plan(learner, {.epochs = 5});
  fmt::print("{}", plan);  // what it chose, and why; it may be changed
  fmt::print("{}", thaw::run_plan(learner, plan));
  learner.save("fashion.pt");
}
