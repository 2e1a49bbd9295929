// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/detail/grad_scaler.hpp>

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <torch/optim/sgd.h>
#include <catch2/catch_test_macros.hpp>
#include <limits>
#include <thaw/optim/adamw.hpp>
#include <vector>

using thaw::detail::GradScaler;

namespace {

constexpr float inf = std::numeric_limits<float>::infinity();

/// Whether there may be a step, found out at once.
bool unscaled(GradScaler& scale, const std::vector<at::Tensor>& gradients) {
  torch::optim::SGD any({at::ones({1})}, 0.1);
  return !scale.unscale(gradients, any, /*waits=*/false);  // LibTorch's own optimizer cannot leave it to the device
}

}  // namespace

TEST_CASE("what a loss is scaled by, its gradients are divided by") {
  GradScaler scale;
  at::Tensor weight = at::full({3}, 2.0).requires_grad_();
  const at::Tensor loss = scale.scaled(weight.square().sum());
  CHECK(loss.item<float>() == 12 * 65536);
  loss.backward();
  CHECK(unscaled(scale, {weight.grad()}));
  CHECK(at::equal(weight.grad(), at::full({3}, 4.0)));
}

TEST_CASE("gradients that overflow halve the scale, two thousand steps without double it") {
  GradScaler scale;
  const at::Tensor one = at::ones({});
  (void)scale.scaled(one);
  CHECK_FALSE(unscaled(scale, {at::full({2}, inf), at::ones({2})}));
  CHECK(scale.scaled(one).item<float>() == 32768);
  CHECK_FALSE(unscaled(scale, {at::full({2}, std::numeric_limits<float>::quiet_NaN())}));
  CHECK(scale.scaled(one).item<float>() == 16384);
  GradScaler other = scale.copy();
  for (int i = 0; i < 1999; ++i) CHECK(unscaled(scale, {at::ones({2})}));
  CHECK(scale.scaled(one).item<float>() == 16384);
  CHECK(unscaled(scale, {at::ones({2})}));
  CHECK(scale.scaled(one).item<float>() == 32768);
  CHECK(other.scaled(one).item<float>() == 16384);
}

TEST_CASE("a scale goes on from a checkpoint, also one that was not used yet") {
  const at::Tensor one = at::ones({});
  GradScaler scale;
  thaw::RunState state;
  scale.visit({state, /*reading=*/false}, at::kCPU);
  CHECK(state.empty());
  (void)scale.scaled(one);
  CHECK_FALSE(unscaled(scale, {at::full({1}, inf)}));
  for (int i = 0; i < 1999; ++i) CHECK(unscaled(scale, {at::ones({1})}));
  scale.visit({state, /*reading=*/false}, at::kCPU);
  GradScaler next;
  next.visit({state, /*reading=*/true}, at::kCPU);
  CHECK(next.scaled(one).item<float>() == 32768);
  CHECK(unscaled(next, {at::ones({1})}));  // the two thousandth
  CHECK(next.scaled(one).item<float>() == 65536);
  CHECK(scale.scaled(one).item<float>() == 32768);
  thaw::RunState none;
  next.visit({none, /*reading=*/true}, at::kCPU);
  CHECK(next.scaled(one).item<float>() == 65536);
}

TEST_CASE("a step that thaw's optimizers left to the device is found out in the next, or when it is asked for") {
  at::Tensor weight = at::ones({2}).requires_grad_();
  thaw::AdamW optimizer(std::vector<at::Tensor>{weight});
  GradScaler scale;
  (void)scale.scaled(at::ones({}));
  const auto step = [&](float gradient) {
    weight.mutable_grad() = at::full({2}, gradient);
    CHECK_FALSE(scale.unscale({weight.grad()}, optimizer, /*waits=*/false));
    optimizer.step();
  };
  const auto done = [&] {
    return static_cast<torch::optim::AdamWParamState&>(*optimizer.state().at(weight.unsafeGetTensorImpl())).step();
  };
  step(inf);
  CHECK(at::equal(weight, at::ones({2})));
  step(1);
  CHECK(scale.skipped() == 1);  // the first; the second is not known yet
  CHECK_FALSE(at::equal(weight, at::ones({2})));
  step(inf);
  CHECK(done() == 1);
  CHECK(scale.skipped() == 0);
  scale.settle();  // as a checkpoint does, which changes nothing
  CHECK(done() == 1);
  CHECK(scale.skipped() == 0);
  step(1);
  CHECK(scale.skipped() == 1);
  CHECK(scale.skipped() == 0);

  thaw::RunState state;
  step(inf);
  scale.visit({state, /*reading=*/false}, at::kCPU);
  CHECK(done() == 2);
  GradScaler next;
  next.visit({state, /*reading=*/true}, at::kCPU);
  CHECK(next.skipped() == 0);
  CHECK(unscaled(next, {at::ones({1})}));
  CHECK(next.skipped() == 1);
}

TEST_CASE("a scale that falls for ever says so, a new stage counts anew") {
  GradScaler scale;
  (void)scale.scaled(at::ones({}));
  for (int i = 0; i < 29; ++i) CHECK_FALSE(unscaled(scale, {at::full({1}, inf)}));
  CHECK(scale.may_fall());
  CHECK_FALSE(unscaled(scale, {at::full({1}, inf)}));
  CHECK_FALSE(scale.may_fall());
  scale.forget_skipped();
  CHECK(scale.skipped() == 0);
}
