// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/gradient_clip.hpp>

#include <torch/nn/utils/clip_grad.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include "support/bench.hpp"

using Catch::Matchers::WithinRel;
using thaw::GradientClip;
using thaw::test::Bench;

namespace {

std::vector<at::Tensor> cloned(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> result;
  for (const at::Tensor& tensor : tensors) result.push_back(tensor.clone());
  return result;
}

}  // namespace

TEST_CASE("clip_gradient_norm equals torch's clip_grad_norm_, clipping or not") {
  for (const double max_norm : {0.01, 0.5, 1e3}) {
    Bench bench;
    thaw::LayerGroups& groups = bench.learner->groups();
    groups.freeze({true, false, false}, {});  // a group without gradients
    const auto backward = [&] {
      for (at::Tensor& p : bench.net->parameters()) p.mutable_grad() = at::Tensor();
      thaw::cross_entropy(bench.net->forward(bench.input), bench.target).backward();
    };
    backward();
    const double expected_norm = torch::nn::utils::clip_grad_norm_(bench.net->parameters(), max_norm);
    const std::vector<at::Tensor> expected = cloned(groups.gradients());
    backward();
    CHECK_THAT(thaw::clip_gradient_norm(groups, max_norm).item<double>(), WithinRel(expected_norm, 1e-12));
    REQUIRE(groups.gradients().size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(at::allclose(groups.gradients()[i], expected[i], 1e-12, 0));
  }
}

TEST_CASE("GradientClip clips what the optimizer sees: the mean gradient of all batches of a step") {
  struct Watch {
    double largest_norm = 0, largest_value = 0;
    void on_gradients_ready(const thaw::GradientsReady& event) {
      double squares = 0;
      for (const at::Tensor& gradient : event.learner.groups().gradients()) {
        squares += gradient.pow(2).sum().item<double>();
        largest_value = std::max(largest_value, gradient.abs().max().item<double>());
      }
      largest_norm = std::max(largest_norm, std::sqrt(squares));
    }
  };
  Bench bench;
  Watch before, norm, value;
  const thaw::Stage stage{.epochs = 1, .lr = 1e-3};
  bench.learner->fit(stage, std::ref(before), GradientClip{.norm = 0.05}, std::ref(norm));
  bench.learner->fit(stage, GradientClip{.value = 0.01}, std::ref(value));
  CHECK(before.largest_norm > 0.05);
  CHECK_THAT(norm.largest_norm, WithinRel(0.05, 1e-3));
  CHECK(value.largest_value == 0.01);
}

TEST_CASE("GradientClip wants one positive limit") {
  Bench bench;
  CHECK_THROWS_AS(bench.learner->fit({}, GradientClip{}), thaw::ConfigError);
  CHECK_THROWS_AS(bench.learner->fit({}, GradientClip{.norm = 1, .value = 1}), thaw::ConfigError);
  CHECK_THROWS_AS(bench.learner->fit({}, GradientClip{.norm = 0}), thaw::ConfigError);
  CHECK(bench.learner->history().steps.empty());
}
