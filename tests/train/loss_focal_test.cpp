// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/loss_focal.hpp>

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <vector>

#include "support/data.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using Catch::Matchers::WithinRel;
using thaw::BinaryFocalLoss;
using thaw::FocalLoss;

TEST_CASE("the binary focal loss is torchvision's") {
  const auto golden = thaw::test::json_fixture("train/focal.json");
  const auto output = at::tensor(golden["output"].get<std::vector<float>>()).view({6, 4}).to(at::kDouble);
  const auto target = at::tensor(golden["target"].get<std::vector<float>>()).view({6, 4});
  for (const auto& each : golden["losses"]) {
    CAPTURE(each.dump());
    const BinaryFocalLoss loss{.alpha = each["alpha"], .gamma = each["gamma"]};
    CHECK_THAT(loss(output, target).item<double>(), WithinRel(each["loss"].get<double>(), 1e-6));
  }
}

TEST_CASE("the focal loss is its formula; without focus, cross-entropy") {
  at::manual_seed(2);
  const at::Tensor output = at::randn({5, 3, 2}, at::kDouble),
                   target = at::tensor({0, 1, 2, 1, 0, 2, 2, 1, 0, 1}, at::kLong).view({5, 2});
  CHECK(FocalLoss{.gamma = 0}(output, target).equal(thaw::cross_entropy(output, target)));
  const at::Tensor weight = at::tensor({0.5, 1.0, 3.0}, at::kDouble);
  const at::Tensor log_p = at::log_softmax(output, 1).gather(1, target.unsqueeze(1)).squeeze(1);
  const at::Tensor expected =
      (-(1 - log_p.exp()).pow(2) * log_p * weight.index_select(0, target.flatten()).view({5, 2})).mean();
  const FocalLoss loss{.gamma = 2, .weight = weight};
  CHECK_THAT(loss(output, target).item<double>(), WithinRel(expected.item<double>(), 1e-12));
}

TEST_CASE("a sample that is classified with certainty has a finite gradient, whatever gamma is") {
  for (const double gamma : {0.0, 0.5, 2.0}) {
    const at::Tensor output = at::tensor({40.0F, -40.0F}).view({1, 2}).requires_grad_();
    FocalLoss{.gamma = gamma}(output, at::tensor({0}, at::kLong)).backward();
    CHECK(at::isfinite(output.grad()).all().item<bool>());
    const at::Tensor logit = at::tensor({80.0F}).view({1, 1}).requires_grad_();
    BinaryFocalLoss{.gamma = gamma}(logit, at::tensor({1.0F}).view({1, 1})).backward();
    CHECK(at::isfinite(logit.grad()).all().item<bool>());
  }
}

TEST_CASE("focal losses refuse what they cannot take") {
  const at::Tensor output = at::randn({4, 3});
  const auto refused = [&](const auto& loss, const at::Tensor& target, const char* why) {
    CHECK_THROWS_MATCHES(loss.check(output, target), thaw::Error, MessageMatches(ContainsSubstring(why)));
  };
  refused(FocalLoss{.gamma = -1}, at::tensor({0, 1, 2, 0}, at::kLong), "gamma is -1");
  refused(FocalLoss{}, at::tensor({0, 1, 2, -100}, at::kLong), "there is a label -100");
  refused(FocalLoss{}, at::tensor({0, 1, 2, 3}, at::kLong), "there is a label 3");
  refused(FocalLoss{}, at::randn({4, 3}), "targets are floating-point");
  refused(FocalLoss{.weight = at::randn({2})}, at::tensor({0, 1, 2, 0}, at::kLong), "weight is [2]");
  refused(BinaryFocalLoss{.alpha = 2}, at::zeros({4, 3}), "alpha 2");
  refused(BinaryFocalLoss{}, at::zeros({4}), "");
}
