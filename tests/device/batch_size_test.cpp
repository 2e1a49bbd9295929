// SPDX-License-Identifier: BSD-3-Clause
// thaw/train/find_batch_size.hpp, on a device whose memory ends.
#include <thaw/train/find_batch_size.hpp>

#include <ATen/Context.h>
#include <c10/util/Exception.h>
#include <c10/util/ScopeExit.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <vector>

#include <thaw/groups/gradual_unfreeze.hpp>
#include <thaw/train/gradient_accumulation.hpp>

#include "device/bench.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::find_batch_size;
using thaw::Stage;
using thaw::test::small_network;
using thaw::test::test_device;
namespace accelerator = thaw::test::accelerator;

namespace {

/// A loss for which batches of more samples do not fit.
struct FitsUpTo {
  std::int64_t samples;
  at::Tensor operator()(const at::Tensor& output, const at::Tensor& target) const {
    TORCH_CHECK_WITH(OutOfMemoryError, output.size(0) <= samples, "out of memory");
    return thaw::cross_entropy(output, target);
  }
};

struct Run {
  explicit Run(std::int64_t fits) {
    net->to(test_device());
    learner = std::make_unique<thaw::Learner>(net, thaw::LayerGroups::cut_before(net, {"body", "head"}), FitsUpTo{fits},
                                              thaw::LearnerOptions{.train = data(2)});
  }
  [[nodiscard]] thaw::InMemory data(std::int64_t batch_size) const {
    return thaw::InMemory({.input = input, .target = target, .batch_size = batch_size, .shuffle = true});
  }
  std::int64_t find(const Stage& stage = {}, const thaw::BatchSizes& sizes = {}, auto... callbacks) {
    return find_batch_size(
        *learner, [&](std::int64_t n) { return data(n); }, stage, sizes, callbacks...);
  }
  torch::nn::Sequential net = small_network(/*dropout=*/0.2);
  at::Tensor target = at::arange(400) % 3, input = at::randn({400, 3, 8, 8}, at::kDouble);
  std::unique_ptr<thaw::Learner> learner;
};

}  // namespace

TEST_CASE("the largest batch that fits is found to the sample, by doubling, then by halves") {
  if (test_device().is_cpu()) SKIP("nothing throws there");
  for (const std::int64_t fits : {2, 3, 4, 7, 63, 64, 65, 399}) CHECK(Run(fits).find() == fits);
  CHECK(Run(1000).find() == 400);  // there are no more samples
  CHECK(Run(1000).find({}, {.first = 3, .max = 50}) == 50);
  CHECK(Run(40).find({}, {.first = 40}) == 40);
  CHECK(Run(12).find({.freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}}}, {}, thaw::GradientAccumulation{4}) ==
        12);
  Run none(4);
  CHECK_THROWS_MATCHES(none.find({}, {.first = 8}), thaw::MemoryError,
                       MessageMatches(ContainsSubstring("find_batch_size: not even 8 samples make a batch that fits")));
  CHECK_THROWS_AS(none.find({.epochs = 0}), thaw::ConfigError);
}

TEST_CASE("nothing is left changed: what follows is bit for bit as without") {
  if (test_device().is_cpu()) SKIP("nothing throws there");
  Run with(9), without(9);
  for (Run* run : {&with, &without}) {
    at::manual_seed(4);
    if (run == &with) CHECK(with.find() == 9);
    run->learner->fit({.epochs = 2, .max_batches = 3});
    if (run == &with) CHECK(with.find({.freeze = thaw::Unfrozen{}, .reset_optimizer = true}) == 9);
    run->learner->fit({.epochs = 2, .max_batches = 3});
  }
  CHECK(thaw::test::same_weights(*with.net, *without.net));
  CHECK(with.learner->history().steps_done == without.learner->history().steps_done);
}

TEST_CASE("what it finds can be trained with in the memory that there is, and hardly more can") {
  if (!thaw::test::is_simulated()) SKIP("the device's memory cannot be limited");
  Run run(1000);
  const Stage stage{.freeze = thaw::Unfrozen{}, .lr = 1e-3, .max_batches = 2};
  const std::int64_t before = accelerator::memory().now;
  accelerator::limit_memory(before + 2'000'000);
  const auto unlimited = c10::make_scope_exit([] { accelerator::limit_memory(0); });
  const std::int64_t found = run.find(stage);
  CHECK((found > 8 && found < 300));
  CHECK(accelerator::memory().now == before);
  CHECK(run.find({.freeze = thaw::FreezeTo{-1}}) > found);  // no activations are kept for the body
  run.learner->data({.train = run.data(found)});
  run.learner->fit(stage);
  run.learner->data({.train = run.data(found + found / 8 + 1)});
  CHECK_THROWS_AS(run.learner->fit(stage), thaw::MemoryError);
}
