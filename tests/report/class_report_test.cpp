// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/class_report.hpp>

#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/train/metric_f_beta.hpp>

#include "support/metrics.hpp"

using thaw::ClassReport;
using thaw::ClassScores;
using thaw::ConfusionMatrix;
using thaw::test::tensor_of;

namespace {

void check_scores(const ClassScores& scores, const nlohmann::json& expected) {
  CHECK_THAT(scores.precision, Catch::Matchers::WithinAbs(expected[0].get<double>(), 1e-14));
  CHECK_THAT(scores.recall, Catch::Matchers::WithinAbs(expected[1].get<double>(), 1e-14));
  CHECK_THAT(scores.f1, Catch::Matchers::WithinAbs(expected[2].get<double>(), 1e-14));
  CHECK(scores.support == expected[3].get<std::int64_t>());
}

}  // namespace

TEST_CASE("the report of classes is scikit-learn's, with classes that never occur") {
  const auto fixture = thaw::test::json_fixture("report/classes.json")["one_class"];
  const at::Tensor output = tensor_of(fixture["output"]), target = tensor_of(fixture["target"]);
  const ClassReport report{ConfusionMatrix(output, target)};
  REQUIRE(report.scores().size() == 7);
  for (std::size_t i = 0; i < 7; ++i) check_scores(report.scores()[i], fixture["classes"][i]);
  const double accuracy = fixture["accuracy"];
  check_scores(report.micro(), {accuracy, accuracy, accuracy, 43});
  check_scores(report.macro(), fixture["averages"][0]);
  check_scores(report.weighted(), fixture["averages"][1]);
  CHECK_THAT(report.macro().f1,
             Catch::Matchers::WithinAbs(thaw::test::measure_one(thaw::f_beta(), output, target), 1e-14));
}

TEST_CASE("the report of several labels is scikit-learn's") {
  const auto fixture = thaw::test::json_fixture("report/classes.json")["labels"];
  const at::Tensor output = tensor_of(fixture["output"]), target = tensor_of(fixture["target"]);
  const ClassReport report = ClassReport::of_labels(output, target, {"a", "b", "c", "d"});
  REQUIRE(report.scores().size() == 4);
  CHECK(report.classes()[3] == "d");
  for (std::size_t i = 0; i < 4; ++i) check_scores(report.scores()[i], fixture["classes"][i]);
  check_scores(report.micro(), fixture["averages"][0]);
  check_scores(report.macro(), fixture["averages"][1]);
  check_scores(report.weighted(), fixture["averages"][2]);

  CHECK(ClassReport::of_labels(output, target).classes()[3] == "3");
  CHECK(ClassReport::of_labels(output, target, {}, 0.999).micro().recall < report.micro().recall);
  CHECK_THROWS_WITH(ClassReport::of_labels(output, target.select(1, 0)),
                    Catch::Matchers::ContainsSubstring("the output is [31, 4], the targets are [31]"));
  CHECK_THROWS_WITH(ClassReport::of_labels(output, target, {"a"}),
                    Catch::Matchers::ContainsSubstring("1 names for 4 classes"));
}

TEST_CASE("the report as text") {
  const ConfusionMatrix matrix(at::tensor({0, 0, 1, 1}, at::kLong), at::tensor({0, 1, 1, 1}, at::kLong),
                               {.classes = {"cat", "dog"}});
  CHECK(fmt::format("{}", ClassReport(matrix)) ==
        "class             precision  recall      f1  support\n"
        "----------------  ---------  ------  ------  -------\n"
        "cat                  0.5000  1.0000  0.6667        1\n"
        "dog                  1.0000  0.6667  0.8000        3\n"
        "micro average        0.7500  0.7500  0.7500        4\n"
        "macro average        0.7500  0.8333  0.7333        4\n"
        "weighted average     0.8750  0.7500  0.7667        4\n");
}

TEST_CASE("a report of nothing is all zeros") {
  const ClassReport report{ConfusionMatrix({.classes = {"a", "b"}})};
  CHECK(report.scores().size() == 2);
  check_scores(report.macro(), {0, 0, 0, 0});
  check_scores(report.weighted(), {0, 0, 0, 0});
}
