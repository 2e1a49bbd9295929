// SPDX-License-Identifier: BSD-3-Clause
// From a torchvision .pth to a fine-tuned network and back to torchvision, without a name map. Skipped where there is
// no Python with torchvision.

#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>

#include <catch2/catch_test_macros.hpp>
#include <string>
#include <thaw/models/convnext.hpp>
#include <thaw/models/efficientnet.hpp>
#include <thaw/models/mobilenet_v3.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/thaw.hpp>
#include <thaw/weights/load.hpp>
#include <thaw/weights/save.hpp>
#include <vector>

#include "python.hpp"
#include "samples.hpp"

namespace {

/// `make({.classes = 3})` is the network that torchvision knows by `name`; its head, `head`, has 3 classes.
template <class Model>
void there_and_back(const std::string& name, Model model, const std::vector<std::string>& cuts,
                    const std::string& head) {
  thaw::test::need_python({"torch", "torchvision"});
  INFO(name);
  const thaw::test::Folder folder;
  REQUIRE(thaw::test::python("torchvision_ends.py", {"publish", name, folder / "published.pth"}));
  const thaw::StateDict published = thaw::read_weights(folder / "published.pth");

  const thaw::LoadReport report = thaw::load_weights(model, published, {.ignore_mismatched_sizes = true});
  CHECK(report.loaded.size() == published.size() - 2);
  CHECK(report.mismatched.size() == 2);  // the head's weight and bias
  const std::string kept = published.names().front(), trained = head + ".weight";
  const at::Tensor head_before = thaw::state_dict(*model).at(trained).clone();

  at::manual_seed(0);
  const at::Tensor images = at::randn({4, 3, 64, 64});
  const thaw::InMemory data({.input = images, .target = at::randint(3, {4}, at::kLong), .batch_size = 4});
  thaw::Learner learner{model, thaw::LayerGroups::cut_before(model, cuts), thaw::cross_entropy, {.train = data}};
  learner.fit({.name = "head", .freeze = thaw::FreezeTo{-1}, .lr = 1e-2});
  CHECK(thaw::state_dict(*model).at(kept).equal(published.at(kept)));
  learner.fit({.name = "all", .freeze = thaw::Unfrozen{}, .lr = thaw::DiscriminativeLR::slice(1e-4, 1e-3)});
  CHECK_FALSE(thaw::state_dict(*model).at(kept).equal(published.at(kept)));
  CHECK_FALSE(thaw::state_dict(*model).at(trained).equal(head_before));

  thaw::save_weights(model, folder / "tuned.pth");
  thaw::StateDict seen;
  seen.insert("images", images);
  seen.insert("logits", learner.predict(images));
  thaw::save_weights(seen, folder / "seen.pth");
  CHECK(thaw::test::python("torchvision_ends.py", {"take_back", name, folder / "tuned.pth", folder / "seen.pth"}));
}

}  // namespace

TEST_CASE("a torchvision network is fine-tuned and taken back without a name map: resnet18") {
  there_and_back("resnet18", thaw::models::resnet18({.classes = 3}), {"layer3", "fc"}, "fc");
}

TEST_CASE("a torchvision network is fine-tuned and taken back without a name map: mobilenet_v3_large") {
  there_and_back("mobilenet_v3_large", thaw::models::mobilenet_v3_large({.classes = 3}), {"features.7", "classifier"},
                 "classifier.3");
}

TEST_CASE("a torchvision network is fine-tuned and taken back without a name map: efficientnet_b0") {
  there_and_back("efficientnet_b0", thaw::models::efficientnet_b0({.classes = 3}), {"features.5", "classifier"},
                 "classifier.1");
}

TEST_CASE("a torchvision network is fine-tuned and taken back without a name map: convnext_tiny") {
  there_and_back("convnext_tiny", thaw::models::convnext_tiny({.classes = 3}), {"features.5", "classifier"},
                 "classifier.2");
}
