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
  learner.freeze(thaw::hold_everywhere);  // all but the head; batch norm stays as it was pretrained
  learner.fit({.name = "head", .epochs = 3, .lr = thaw::recommended_lr(learner.find_lr())}, thaw::KeepBest{"accuracy"});

  learner.unfreeze(thaw::hold_everywhere);
  const auto slice = [](double lr) { return thaw::DiscriminativeLR::slice(lr / 10, lr); };  // the stem learns slower
  const thaw::LRCurve curve = learner.find_lr({.rates = slice(1)});  // nothing is left changed, not even the generator
  thaw::write_svg(curve, "lr_finder.svg");
  fmt::print("{}", curve);

  const double lr = thaw::recommended_lr(curve);  // just before the loss rises
  learner.fit({.name = "all", .epochs = 5, .lr = slice(lr)}, thaw::KeepBest{"accuracy"});
  learner.save("fashion.pt");
}
