#include <thaw/train/detail/loss_scale.hpp>

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <catch2/catch_test_macros.hpp>
#include <limits>

using thaw::detail::LossScale;

TEST_CASE("what a loss is scaled by, its gradients are divided by") {
  LossScale scale;
  at::Tensor weight = at::full({3}, 2.0).requires_grad_();
  const at::Tensor loss = scale.scaled(weight.square().sum());
  CHECK(loss.item<float>() == 12 * 65536);
  loss.backward();
  CHECK(scale.unscale({weight.grad()}));
  CHECK(at::equal(weight.grad(), at::full({3}, 4.0)));
}

TEST_CASE("gradients that overflow halve the scale, two thousand steps without double it") {
  LossScale scale;
  const at::Tensor one = at::ones({});
  (void)scale.scaled(one);
  CHECK_FALSE(scale.unscale({at::full({2}, std::numeric_limits<float>::infinity()), at::ones({2})}));
  CHECK(scale.scaled(one).item<float>() == 32768);
  CHECK_FALSE(scale.unscale({at::full({2}, std::numeric_limits<float>::quiet_NaN())}));
  CHECK(scale.scaled(one).item<float>() == 16384);
  const LossScale kept = scale.copy();
  for (int i = 0; i < 1999; ++i) CHECK(scale.unscale({at::ones({2})}));
  CHECK(scale.scaled(one).item<float>() == 16384);
  CHECK(scale.unscale({at::ones({2})}));
  CHECK(scale.scaled(one).item<float>() == 32768);
  LossScale other = kept;
  CHECK(other.scaled(one).item<float>() == 16384);
}

TEST_CASE("a scale goes on from a checkpoint, also one that was not used yet") {
  const at::Tensor one = at::ones({});
  LossScale scale;
  thaw::RunState state;
  scale.visit({state, /*reading=*/false}, at::kCPU);
  CHECK(state.empty());
  (void)scale.scaled(one);
  CHECK_FALSE(scale.unscale({at::full({1}, std::numeric_limits<float>::infinity())}));
  for (int i = 0; i < 1999; ++i) CHECK(scale.unscale({at::ones({1})}));
  scale.visit({state, /*reading=*/false}, at::kCPU);
  LossScale next;
  next.visit({state, /*reading=*/true}, at::kCPU);
  CHECK(next.scaled(one).item<float>() == 32768);
  CHECK(next.unscale({at::ones({1})}));  // the two thousandth
  CHECK(next.scaled(one).item<float>() == 65536);
  CHECK(scale.scaled(one).item<float>() == 32768);
  thaw::RunState none;
  next.visit({none, /*reading=*/true}, at::kCPU);
  CHECK(next.scaled(one).item<float>() == 65536);
}
