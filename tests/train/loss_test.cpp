// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/loss.hpp>

#include <ATen/ops/full.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::WithinAbs;

namespace {

at::Tensor logits() {
  return at::tensor({0.5, -1., 2., 1.5, 0.25, -0.75, 0., 1., -2., 3., -1., 0.5}).reshape({4, 3});
}

void check_value(const at::Tensor& loss, double expected) {
  CHECK(loss.dim() == 0);
  CHECK_THAT(loss.item<double>(), WithinAbs(expected, 1e-12));
}

template <class Loss>
void check_refuses(const Loss& loss, const at::Tensor& output, const at::Tensor& targets, const std::string& problem,
                   const std::string& fix) {
  CHECK_THROWS_WITH(loss.check(output, targets), ContainsSubstring(problem) && ContainsSubstring("fix: " + fix));
}

}  // namespace

TEST_CASE("cross_entropy is the mean of -log softmax at the target") {
  const at::Tensor output = at::tensor({0.0, std::log(3.0), 0.0, 0.0}).reshape({2, 2});
  const double loss = thaw::cross_entropy(output, at::tensor({1, 0}, at::kLong)).item<double>();
  CHECK_THAT(loss, Catch::Matchers::WithinAbs((std::log(4.0 / 3) + std::log(2.0)) / 2, 1e-12));
}

TEST_CASE("cross_entropy with smoothing, weights and ignored targets is PyTorch's") {
  // F.cross_entropy and F.binary_cross_entropy_with_logits of torch 2.13 gave these numbers
  const at::Tensor target = at::tensor({2, 0, -100, 1}, at::kLong), weight = at::tensor({1., 2., 0.5});
  check_value(thaw::CrossEntropy{.label_smoothing = 0.1}(logits(), target), 1.5836638562706993);
  check_value(thaw::CrossEntropy{.weight = weight}(logits(), target), 2.4693362618755903);
  check_value(thaw::CrossEntropy{.weight = weight.to(at::kFloat)}(logits(), target), 2.4693362618755903);
  check_value(thaw::CrossEntropy{.label_smoothing = 0.1, .weight = weight}(logits(), target), 2.4387055292516093);
  check_value(thaw::CrossEntropy{.ignore_index = 1}(logits(), at::tensor({2, 0, 1, 1}, at::kLong)),
              0.28599195303219055);
  check_value(thaw::cross_entropy(logits(), at::tensor({0.2, 0.3, 0.5}).expand({4, 3})), 1.9666676130617375);
  CHECK(thaw::CrossEntropy{.weight = weight}(logits().to(at::kBFloat16), target).scalar_type() == at::kBFloat16);
}

TEST_CASE("label smoothing by hand: the mean of the target's and of all classes' -log softmax") {
  const at::Tensor target = at::tensor({2, 0, 1, 1}, at::kLong);
  const double plain = thaw::cross_entropy(logits(), target).item<double>();
  const double uniform = -logits().log_softmax(1).mean().item<double>();
  check_value(thaw::CrossEntropy{.label_smoothing = 0.2}(logits(), target), 0.8 * plain + 0.2 * uniform);
}

TEST_CASE("cross_entropy checks its targets") {
  const at::Tensor output = at::zeros({2, 5});
  CHECK_NOTHROW(thaw::cross_entropy.check(output, at::tensor({0, 4}, at::kLong)));
  CHECK_NOTHROW(thaw::cross_entropy.check(output, at::tensor({-100, 4}, at::kLong)));
  CHECK_NOTHROW(thaw::cross_entropy.check(output, at::rand({2, 5})));
  CHECK_THROWS_WITH(thaw::cross_entropy.check(output, at::tensor({0, 5}, at::kLong)), ContainsSubstring("label 5"));
  CHECK_THROWS_WITH(thaw::cross_entropy.check(output, at::tensor({-1, 2}, at::kLong)), ContainsSubstring("label -1"));
  CHECK_THROWS_WITH(thaw::cross_entropy.check(output, at::rand({2})), ContainsSubstring("floating-point"));
  CHECK_THROWS_AS(thaw::cross_entropy.check(at::zeros({2}), at::zeros({2}, at::kLong)), thaw::DataError);
}

TEST_CASE("cross_entropy checks shapes, dtypes, and that there is something to learn from") {
  const at::Tensor output = at::zeros({2, 5}), map = at::zeros({2, 5, 4, 4});
  const auto refuses = [](const at::Tensor& outputs, const at::Tensor& targets, const std::string& problem,
                          const std::string& fix) {
    check_refuses(thaw::cross_entropy, outputs, targets, "cross_entropy: " + problem, fix);
  };
  CHECK_NOTHROW(thaw::cross_entropy.check(output, at::zeros({100}, at::kLong)));  // targets of all the data
  CHECK_NOTHROW(thaw::cross_entropy.check(output, at::zeros({2}, at::kByte)));
  CHECK_NOTHROW(thaw::cross_entropy.check(map, at::zeros({100, 4, 4}, at::kLong)));
  refuses(output, at::zeros({2, 1}, at::kLong), "the output is [2, 5], but the targets are [2, 1]",
          "drop the target's");
  refuses(map, at::zeros({2, 8, 8}, at::kLong), "the output is [2, 5, 4, 4]", "give targets [2, 4, 4]");
  refuses(output, at::zeros({2}, at::kInt), "targets are Int", "give them as int64");
  refuses(output, at::full({2}, -100, at::kLong), "every target is ignore_index, -100", "give targets");
  refuses(output, at::rand({2, 4}), "the output is [2, 5], but the targets are [2, 4]", "give output and targets");
}

TEST_CASE("cross_entropy checks labels beside the ignored ones") {
  const thaw::CrossEntropy loss{.ignore_index = 255};
  CHECK_NOTHROW(loss.check(at::zeros({2, 5}), at::tensor({255, 4}, at::kLong)));
  CHECK_THROWS_WITH(loss.check(at::zeros({2, 5}), at::tensor({255, 5}, at::kLong)), ContainsSubstring("label 5"));
  CHECK_THROWS_WITH(loss.check(at::zeros({2, 5}), at::tensor({-100, 4}, at::kLong)), ContainsSubstring("label -100"));
  CHECK_THROWS_WITH(thaw::cross_entropy.check(at::zeros({2, 5}), at::tensor({-100, -7}, at::kLong)),
                    ContainsSubstring("label -7"));
  CHECK_THROWS_AS(loss.check(at::zeros({2, 5}), at::rand({2, 5})), thaw::ConfigError);
}

TEST_CASE("cross_entropy checks its options against the output") {
  const at::Tensor output = at::zeros({2, 5}), target = at::zeros({2}, at::kLong);
  const thaw::CrossEntropy short_by_two{.weight = at::full({3}, 1.)};
  CHECK_THROWS_AS(short_by_two.check(output, target), thaw::ConfigError);
  check_refuses(short_by_two, output, target, "weight is [3], but the model's output has 5 classes",
                "give one weight per class: [5]");
  check_refuses(thaw::CrossEntropy{.label_smoothing = 1.5}, output, target, "label_smoothing is 1.5", "take a number");
  CHECK_NOTHROW(thaw::CrossEntropy{.label_smoothing = 0.1, .weight = at::full({5}, 1.)}.check(output, target));
}

TEST_CASE("bce_with_logits is PyTorch's, for targets of any dtype") {
  const at::Tensor target = at::tensor({1., 0., 1., 0., 0., 1., 0.25, 1., 0., 1., 1., 0.}).reshape({4, 3});
  check_value(thaw::bce_with_logits(logits(), target), 0.6706461074259176);
  check_value(thaw::BinaryCrossEntropy{.pos_weight = at::tensor({1., 3., 0.5})}(logits(), target), 0.8890750442170804);
  const at::Tensor whole = target.gt(0.5);
  check_value(thaw::bce_with_logits(logits(), whole),
              thaw::bce_with_logits(logits(), whole.to(at::kDouble)).item<double>());
}

TEST_CASE("bce_with_logits checks shapes, targets and pos_weight") {
  const at::Tensor output = at::zeros({4, 3});
  const auto refuses = [&](const at::Tensor& targets, const std::string& problem, const std::string& fix) {
    check_refuses(thaw::bce_with_logits, output, targets, "bce_with_logits: " + problem, fix);
  };
  CHECK_NOTHROW(thaw::bce_with_logits.check(output, at::rand({100, 3})));
  CHECK_NOTHROW(thaw::bce_with_logits.check(output, at::zeros({4, 3}, at::kBool)));
  refuses(at::zeros({4}, at::kLong), "the output is [4, 3], but the targets are [4]", "give output and targets");
  refuses(at::full({4, 3}, 2), "there is a target 2", "give 0 or 1");
  refuses(at::full({4, 3}, -0.5), "there is a target -0.5", "give 0 or 1");
  refuses(at::full({4, 3}, std::nan("")), "there is a target NaN", "give 0 or 1");
  const thaw::BinaryCrossEntropy weighted{.pos_weight = at::full({2}, 1.)};
  CHECK_THROWS_AS(weighted.check(output, at::rand({4, 3})), thaw::ConfigError);
  check_refuses(weighted, output, at::rand({4, 3}), "pos_weight is [2], the model's output [4, 3]", "give one weight");
  CHECK_THROWS_AS(thaw::bce_with_logits(output, at::zeros({4, 1})), thaw::DataError);
}

TEST_CASE("mse is the mean square, and refuses to broadcast") {
  const at::Tensor output = at::tensor({1., 2., 4.}), target = at::tensor({1., 0., 1.});
  check_value(thaw::mse(output, target), 13. / 3);
  check_value(thaw::mse(output, target.to(at::kLong)), 13. / 3);
  CHECK_NOTHROW(thaw::mse.check(output, at::zeros({100})));
  check_refuses(thaw::mse, output.unsqueeze(1), target, "mse: the output is [3, 1], but the targets are [3]",
                "output.squeeze(-1), or target.unsqueeze(-1)");
  check_refuses(thaw::mse, output, target.unsqueeze(1), "mse: the output is [3], but the targets are [3, 1]",
                "target.squeeze(-1), or output.unsqueeze(-1)");
  CHECK_THROWS_AS(thaw::mse(output.unsqueeze(1), target), thaw::DataError);
}
