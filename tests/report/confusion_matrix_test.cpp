// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/confusion_matrix.hpp>

#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>

#include "support/bench.hpp"
#include "support/metrics.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::Confusion;
using thaw::ConfusionMatrix;
using thaw::test::tensor_of;

namespace {

at::Tensor long_tensor(std::vector<std::int64_t> values) {
  return at::tensor(values, at::kLong);
}

/// cat as dog twice, dog as cow twice, cow as cat once, two cows right.
ConfusionMatrix farm() {
  return {long_tensor({1, 1, 2, 2, 0, 2, 2}), long_tensor({0, 0, 1, 1, 2, 2, 2}), {.classes = {"cat", "dog", "cow"}}};
}

bool same_confusions(const std::vector<Confusion>& a, const std::vector<Confusion>& b) {
  return std::ranges::equal(a, b, [](const Confusion& x, const Confusion& y) {
    return x.actual == y.actual && x.predicted == y.predicted && x.count == y.count;
  });
}

}  // namespace

TEST_CASE("the confusion matrix is scikit-learn's, at once and batch by batch") {
  const auto fixture = thaw::test::json_fixture("report/classes.json")["one_class"];
  const at::Tensor output = tensor_of(fixture["output"]), target = tensor_of(fixture["target"]);
  const ConfusionMatrix matrix(output, target);
  CHECK(matrix.counts().equal(tensor_of(fixture["confusion"])));
  CHECK(matrix.samples() == 43);
  CHECK(std::abs(matrix.accuracy() - fixture["accuracy"].get<double>()) < 1e-15);
  CHECK(matrix.classes() == std::vector<std::string>{"0", "1", "2", "3", "4", "5", "6"});

  ConfusionMatrix parts;
  for (std::int64_t i = 0; i < 43; i += 10) parts.add(output.slice(0, i, i + 10), target.slice(0, i, i + 10));
  CHECK(parts.counts().equal(matrix.counts()));
  CHECK(ConfusionMatrix(output.argmax(1), target, {.classes = matrix.classes()}).counts().equal(matrix.counts()));
}

TEST_CASE("rows are actual classes, columns predicted ones") {
  const ConfusionMatrix matrix = farm();
  CHECK(matrix.count(0, 1) == 2);
  CHECK(matrix.count(1, 0) == 0);
  CHECK(matrix.count(2, 2) == 2);
  CHECK(matrix.accuracy() == 2.0 / 7);
}

TEST_CASE("most confused, as fastai sorts them: the most frequent first, equals in the order of the matrix") {
  CHECK(same_confusions(farm().most_confused(), {{"cat", "dog", 2}, {"dog", "cow", 2}, {"cow", "cat", 1}}));
  CHECK(same_confusions(farm().most_confused(2), {{"cat", "dog", 2}, {"dog", "cow", 2}}));
  CHECK(farm().most_confused(3).empty());
  CHECK(farm().most_confused(0).size() == 3);  // what never happened is no confusion
}

TEST_CASE("a logit, pixels, targets of a column, and a class that does not count") {
  const at::Tensor logit = at::tensor({-1.0, 0.0, 2.0, 3.0}).unsqueeze(1), target = long_tensor({0, 1, 1, 0});
  const ConfusionMatrix binary(logit, target.unsqueeze(1));
  CHECK(binary.counts().equal(tensor_of({{1, 1}, {1, 1}})));
  CHECK(ConfusionMatrix(logit, target.to(at::kDouble)).counts().equal(binary.counts()));

  at::Tensor pixels = at::zeros({1, 3, 2, 2});
  pixels[0][2] = at::ones({2, 2});
  const at::Tensor mask = long_tensor({2, 2, 0, 255}).reshape({1, 2, 2});
  CHECK(ConfusionMatrix(pixels, mask, {.ignore_index = 255})
            .counts()
            .equal(tensor_of({{0, 0, 1}, {0, 0, 0}, {0, 0, 2}})));
  CHECK_THROWS_AS(ConfusionMatrix(pixels, mask), thaw::DataError);
  const ConfusionMatrix nothing(pixels, at::full_like(mask, 255), {.ignore_index = 255});
  CHECK(nothing.samples() == 0);
  CHECK(std::isnan(nothing.accuracy()));
}

TEST_CASE("without names, integers make as many classes as there are") {
  ConfusionMatrix matrix(long_tensor({0}), long_tensor({1}));
  CHECK(matrix.size() == 2);
  matrix.add(long_tensor({3}), long_tensor({1}));
  CHECK(matrix.counts().equal(tensor_of({{0, 0, 0, 0}, {1, 0, 0, 1}, {0, 0, 0, 0}, {0, 0, 0, 0}})));
}

TEST_CASE("what does not fit is said, and nothing of it is counted") {
  ConfusionMatrix matrix({.classes = {"a", "b"}});
  CHECK_THROWS_WITH(matrix.add(at::zeros({1, 3}), long_tensor({0})),
                    ContainsSubstring("2 classes") && ContainsSubstring("output has 3"));
  CHECK_THROWS_WITH(matrix.add(at::zeros({2, 2}), long_tensor({0, 2})), ContainsSubstring("a class 2, of 2 classes"));
  CHECK_THROWS_WITH(matrix.add(at::zeros({2, 2}), long_tensor({0, -1})), ContainsSubstring("a class -1"));
  CHECK_THROWS_WITH(matrix.add(long_tensor({2}), long_tensor({0})), ContainsSubstring("a class 2, of 2 classes"));
  CHECK_THROWS_WITH(matrix.add(at::zeros({2, 2}), long_tensor({0})),
                    ContainsSubstring("[2] predictions, but [1] targets"));
  CHECK_THROWS_WITH(matrix.add(at::zeros({2}), long_tensor({0, 0})), ContainsSubstring("1 dimension(s)"));
  CHECK(matrix.samples() == 0);
}

TEST_CASE("of a learner and a source: every sample once, also of one that shuffles and drops its last batch") {
  thaw::test::Bench bench({.norm = true});
  const thaw::InMemory source(
      {.input = bench.input, .target = bench.target, .batch_size = 16, .shuffle = true, .drop_last = true});
  const ConfusionMatrix matrix(*bench.learner, source, {.classes = {"a", "b", "c"}});
  const ConfusionMatrix expected(bench.learner->predict(thaw::Fields(bench.input)), bench.target);
  CHECK(matrix.samples() == 40);
  CHECK(matrix.counts().equal(expected.counts()));
  CHECK(matrix.classes()[2] == "c");
  CHECK_THROWS_WITH(ConfusionMatrix(*bench.learner, thaw::DataSource()), ContainsSubstring("the source is empty"));
}

TEST_CASE("a matrix only counts, so that a source without an order will do") {
  thaw::test::Bench bench;
  const ConfusionMatrix expected(bench.learner->predict(thaw::Fields(bench.input)), bench.target);
  CHECK(ConfusionMatrix(*bench.learner, thaw::test::WithoutOrder{bench.data(8)}).counts().equal(expected.counts()));
}

TEST_CASE("the matrix as text; of many classes the mistakes alone") {
  CHECK(fmt::format("{}", farm()) ==
        "actual \\ predicted  cat  dog  cow\n"
        "------------------  ---  ---  ---\n"
        "cat                   .    2    .\n"
        "dog                   .    .    2\n"
        "cow                   1    .    2\n"
        "right: 28.6 % of 7\n");
  CHECK(thaw::to_text(farm(), 2) ==
        "actual  predicted  times\n"
        "------  ---------  -----\n"
        "cat     dog            2\n"
        "dog     cow            2\n"
        "right: 28.6 % of 7\n");
  CHECK(thaw::to_text(ConfusionMatrix()) == "confusion matrix: nothing was counted\n");
}
