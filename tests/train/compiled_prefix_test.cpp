// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/compiled_prefix.hpp>

#include <torch/nn/modules/linear.h>

#include <ATen/ops/allclose.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>

#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::WithinRel;

namespace {

/// A network whose norms do something, with a new head, the body frozen.
struct Frozen {
  Frozen() {
    at::manual_seed(5);
    net = thaw::models::efficientnet_lite0({.classes = 3});
    const c10::NoGradGuard no_grad;
    for (const auto& buffer : net->named_buffers())
      if (buffer.key().ends_with("running_mean"))
        buffer.value().normal_(0, 0.1);
      else if (buffer.key().ends_with("running_var"))
        buffer.value().uniform_(0.5, 1.5);
    thaw::models::replace_head(net, thaw::models::linear_head(1280, 3, 0));
    groups = thaw::LayerGroups::cut_before(net, {"head"});
    (void)thaw::apply(thaw::FreezeTo{1}, *groups);
  }

  thaw::Learner learner(decltype(thaw::LearnerOptions::frozen_prefix) frozen) {
    at::manual_seed(6);
    const at::Tensor target = at::randint(3, {12}, at::kLong), input = at::randn({12, 3, 40, 40});
    return {net, *groups, thaw::cross_entropy,
            thaw::LearnerOptions{.train = thaw::InMemory({.input = input, .target = target, .batch_size = 5}),
                                 .valid = thaw::InMemory({.input = input, .target = target, .batch_size = 5}),
                                 .frozen_prefix = std::move(frozen)}};
  }

  thaw::models::EfficientNetLite net{nullptr};
  std::optional<thaw::LayerGroups> groups;
};

}  // namespace

TEST_CASE("a compiled prefix gives what the plain one gives, for batches of any shape") {
  Frozen setup;
  const at::Tensor images = at::randn({4, 3, 64, 64});
  const thaw::FrozenSplit split = thaw::split_frozen(setup.net, *setup.groups, images);
  thaw::CompiledPrefix compiled{split};
  for (const std::vector<std::int64_t>& sizes :
       {std::vector<std::int64_t>{4, 3, 64, 64}, {1, 3, 64, 64}, {2, 3, 33, 47}, {4, 3, 64, 64}}) {
    const at::Tensor x = at::randn(sizes);
    const at::Tensor expected = split.features(x), features = compiled(x);
    CHECK(features.sizes() == expected.sizes());
    CHECK(at::allclose(features, expected, 1e-5, 1e-5 * expected.abs().max().item<double>()));
    CHECK_FALSE(features.equal(expected));  // folded: rounded otherwise
    CHECK_FALSE(features.requires_grad());
  }
}

TEST_CASE("with a compiled frozen part a stage trains as it does with the plain one") {
  Frozen plain, compiled;
  thaw::Learner a = plain.learner({}), b = compiled.learner(thaw::CompiledPrefix::make);
  const thaw::Stage head{.epochs = 3, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2};
  const thaw::EpochRecord x = a.fit(head), y = b.fit(head);
  CHECK_THAT(y.train_loss, WithinRel(x.train_loss, 1e-4));
  CHECK_THAT(y.valid->loss, WithinRel(x.valid->loss, 1e-4));
  CHECK_THAT(b.history().stages[0].frozen_part, ContainsSubstring("compiled up to 'head.2'; then 'head.3' trains"));
  CHECK(a.history().stages[0].frozen_part.empty());

  // Thawed, it trains the whole model; nothing is frozen, and the record says so.
  b.fit({.freeze = thaw::Unfrozen{}, .lr = 1e-3});
  CHECK_THAT(b.history().stages[1].frozen_part, ContainsSubstring("as the rest"));

  // Frozen again, it goes by the weights as they are now.
  const double expected = b.validate().loss;
  CHECK_THAT(b.fit({.freeze = thaw::FreezeTo{-1}, .lr = 1e-12}).valid->loss, WithinRel(expected, 1e-4));
}

TEST_CASE("a compiled prefix follows weights that a callback changes") {
  struct Change {
    thaw::models::EfficientNetLite net;
    void on_epoch_end(const thaw::EpochEnd& event) {
      const c10::NoGradGuard no_grad;
      if (event.record.epoch == 1) net->conv_stem->weight.mul_(0.3);
    }
  };
  Frozen plain, compiled;
  thaw::Learner a = plain.learner({}), b = compiled.learner(thaw::CompiledPrefix::make);
  const thaw::Stage head{.epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2};
  CHECK_THAT(b.fit(head, Change{compiled.net}).valid->loss,
             WithinRel(a.fit(head, Change{plain.net}).valid->loss, 1e-4));
}

TEST_CASE("a model without parts cannot have its frozen part compiled, and says so at once") {
  thaw::test::TinyNet net;
  CHECK_THROWS_AS((thaw::Learner{net, thaw::LayerGroups::cut_before(net, {"head"}), thaw::cross_entropy,
                                 thaw::LearnerOptions{.frozen_prefix = thaw::CompiledPrefix::make}}),
                  thaw::ConfigError);
}
