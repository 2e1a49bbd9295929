#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
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
  learner.fit({.name = "head", .epochs = 3, .freeze = thaw::FreezeTo{-1}, .lr = 3e-3});

  learner.unfreeze(thaw::hold_everywhere);
  const thaw::LRCurve curve = learner.find_lr();  // nothing is left changed, not even the random generator
  thaw::write_svg(curve, "lr_finder.svg");
  fmt::print("{}", curve);

  learner.fit({.name = "all", .epochs = 5, .lr = thaw::DiscriminativeLR::slice(1e-4, 1e-3)});
  learner.save("fashion.pt");
}
