// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/mixup.hpp>

#include <ATen/ops/arange.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include "support/bench.hpp"
#include "support/idle_learner.hpp"

using Catch::Matchers::WithinAbs;
using thaw::CutMix;
using thaw::MixUp;

namespace {

/// Image i is all i's, and its target is i.
thaw::Batch numbered(std::int64_t n) {
  const at::Tensor number = at::arange(n, at::kDouble);
  return {number.view({n, 1, 1, 1}).expand({n, 2, 8, 6}).contiguous(), number};
}

template <class Mix>
thaw::Batch mixed(const Mix& mix, typename Mix::State& now, const std::shared_ptr<thaw::Learner>& learner) {
  thaw::Batch batch = numbered(16);
  mix.on_batch_ready({.learner = *learner, .batch = batch}, now);
  return batch;
}

}  // namespace

TEST_CASE("MixUp mixes each image with its partner, and the loss alike") {
  at::manual_seed(1);
  const auto learner = thaw::test::idle_learner();
  const MixUp mix;
  MixUp::State now;
  for (int i = 0; i < 20; ++i) {
    const thaw::Batch batch = mixed(mix, now, learner);
    const double lambda = now.lambda;
    CHECK((lambda >= 0.5 && lambda <= 1));
    const at::Tensor partner = now.partner_target;
    const at::Tensor expected = lambda * batch.target[0] + (1 - lambda) * partner;
    CHECK(at::allclose(batch.input[0].select(1, 0).select(1, 0).select(1, 0), expected, 1e-12, 1e-12));
    CHECK(at::equal(std::get<0>(partner.sort()), batch.target[0]));  // partners are a permutation

    const std::function<at::Tensor(const thaw::Fields&, const thaw::Fields&)> mean =
        [](const thaw::Fields&, const thaw::Fields& target) { return static_cast<const at::Tensor&>(target)[3]; };
    at::Tensor loss = mean({}, batch.target);
    mix.on_loss_ready({.learner = *learner, .batch = batch, .output = {}, .loss = loss, .criterion = mean}, now);
    CHECK_THAT(loss.item<double>(), WithinAbs(expected[3].item<double>(), 1e-12));
  }
}

TEST_CASE("CutMix pastes one box of the partner; lambda is what is left") {
  at::manual_seed(2);
  const auto learner = thaw::test::idle_learner();
  const CutMix mix;
  CutMix::State now;
  double sum = 0;
  for (int i = 0; i < 200; ++i) {
    const thaw::Batch batch = mixed(mix, now, learner);
    const double lambda = now.lambda;
    sum += lambda;
    const at::Tensor partner = now.partner_target;
    const at::Tensor own = batch.target[0].view({16, 1, 1, 1}), other = partner.view({16, 1, 1, 1});
    const at::Tensor& images = batch.input[0];
    CHECK((images.eq(own) | images.eq(other)).all().item<bool>());
    const at::Tensor differ = batch.target[0].ne(partner);
    if (!differ.any().item<bool>()) continue;
    const at::Tensor kept = images.eq(own).to(at::kDouble).mean({1, 2, 3}).masked_select(differ);
    CHECK_THAT(kept.min().item<double>(), WithinAbs(lambda, 1e-12));
    CHECK_THAT(kept.max().item<double>(), WithinAbs(lambda, 1e-12));
  }
  CHECK((sum / 200 > 0.5 && sum / 200 < 0.8));  // 1/2 but for boxes that the border cuts
}

TEST_CASE("CutMix mixes the losses of both targets as it mixed the images") {
  at::manual_seed(4);
  const auto learner = thaw::test::idle_learner();
  const CutMix mix;
  CutMix::State now;
  const std::function<at::Tensor(const thaw::Fields&, const thaw::Fields&)> mean =
      [](const thaw::Fields&, const thaw::Fields& target) { return static_cast<const at::Tensor&>(target)[3]; };
  bool any = false;
  for (int i = 0; i < 20; ++i) {
    const thaw::Batch batch = mixed(mix, now, learner);
    const double lambda = now.lambda, other = now.partner_target[0][3].item<double>();
    any = any || (lambda < 1 && other != 3);
    at::Tensor loss = mean({}, batch.target);
    mix.on_loss_ready({.learner = *learner, .batch = batch, .output = {}, .loss = loss, .criterion = mean}, now);
    CHECK_THAT(loss.item<double>(), WithinAbs(lambda * 3 + (1 - lambda) * other, 1e-12));
  }
  CHECK(any);
}

TEST_CASE("lambda is drawn from Beta(alpha, alpha)") {
  at::manual_seed(3);
  for (const double alpha : {0.4, 1.0, 3.0}) {
    double sum = 0, squares = 0;
    constexpr int n = 4000;
    for (int i = 0; i < n; ++i) {
      const double x = thaw::detail::sample_beta(alpha);
      sum += x, squares += x * x;
    }
    CAPTURE(alpha);
    CHECK_THAT(sum / n, WithinAbs(0.5, 0.03));
    CHECK_THAT(squares / n - sum / n * sum / n, WithinAbs(1 / (4 * (2 * alpha + 1)), 0.012));
  }
}

TEST_CASE("mixing trains, depends on the seed alone, and leaves find_lr without a trace") {
  const auto losses = [](bool find_first) {
    thaw::test::Bench bench;
    at::manual_seed(9);
    if (find_first) (void)bench.learner->find_lr({.steps = 5}, MixUp{});
    bench.learner->fit({.epochs = 2, .lr = 0.05}, MixUp{});
    std::vector<double> all;
    for (const thaw::StepRecord& step : bench.learner->history().steps) all.push_back(step.loss);
    return all;
  };
  const std::vector<double> first = losses(false);
  CHECK(first == losses(false));
  CHECK(first == losses(true));
}

TEST_CASE("mixing refuses an alpha that is not positive, and CutMix what is no image") {
  thaw::test::Bench bench;
  CHECK_THROWS_AS(bench.learner->fit({}, MixUp{.alpha = 0}), thaw::ConfigError);
  CHECK_THROWS_AS(bench.learner->fit({}, CutMix{.alpha = -1}), thaw::ConfigError);
  CHECK_THROWS_AS(bench.learner->fit({}, CutMix{}), thaw::DataError);
  CHECK_THROWS_AS(bench.learner->fit({}, MixUp{.probability = 1.5}), thaw::ConfigError);
  CHECK_THROWS_AS(bench.learner->fit({}, CutMix{.probability = -0.5}), thaw::ConfigError);
}

TEST_CASE("of batches, as many are mixed as the probability says; the others stay as they are, and their loss too") {
  at::manual_seed(5);
  const auto learner = thaw::test::idle_learner();
  const std::function<at::Tensor(const thaw::Fields&, const thaw::Fields&)> seven =
      [](const thaw::Fields&, const thaw::Fields&) { return at::full({}, 7.0, at::kDouble); };
  const MixUp mix{.probability = 0.25};
  MixUp::State now;
  int changed = 0;
  for (int i = 0; i < 400; ++i) {
    const thaw::Batch batch = mixed(mix, now, learner);
    const bool same = at::equal(batch.input[0], numbered(16).input[0]);
    changed += same ? 0 : 1;
    at::Tensor loss = at::full({}, 3.0, at::kDouble);
    MixUp::on_loss_ready({.learner = *learner, .batch = batch, .output = {}, .loss = loss, .criterion = seven}, now);
    if (same && now.partner_target.empty()) CHECK(loss.item<double>() == 3);
    CHECK(same == now.partner_target.empty());
  }
  CHECK((changed > 70 && changed < 130));
}
