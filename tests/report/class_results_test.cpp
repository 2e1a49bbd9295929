// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/class_results.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <string>
#include <vector>

#include "report/xml.hpp"
#include "support/bench.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::ClassResults;
using thaw::HtmlPart;
using thaw::test::Bench;
using thaw::test::Xml;

namespace {

ClassResults farm_results() {
  const at::Tensor predicted = at::tensor({1, 1, 2, 2, 0, 2, 2}, at::kLong);
  const at::Tensor actual = at::tensor({0, 0, 1, 1, 2, 2, 2}, at::kLong);
  return {.matrix{predicted, actual, {.classes = {"cat", "dog & co", "cow"}}}};
}

}  // namespace

TEST_CASE("results in one pass are the confusion matrix and the top losses, each by itself") {
  Bench bench({.norm = true});
  const thaw::DataSource source = bench.data(8);
  const auto loss = bench.learner->validate(source).loss;
  const ClassResults results = thaw::class_results(*bench.learner, source, {}, {.most = 5});
  const thaw::ConfusionMatrix matrix(*bench.learner, source);
  CHECK(results.matrix.counts().equal(matrix.counts()));
  CHECK(results.matrix.samples() == bench.input.size(0));
  const auto losses = thaw::top_losses(*bench.learner, source, {.most = 5});
  REQUIRE(results.losses.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(results.losses[i].sample == losses[i].sample);
    CHECK(results.losses[i].loss == losses[i].loss);
    CHECK(results.losses[i].loss >= loss);
    CHECK(results.losses[i].predicted == losses[i].predicted);
  }
  CHECK_THROWS_WITH(thaw::class_results(*bench.learner, thaw::DataSource()),
                    ContainsSubstring("class_results: the source is empty"));
}

TEST_CASE("results of a source without an order are refused: nobody could say which sample is which") {
  Bench bench;
  struct Shuffles {
    thaw::InMemory source;
    [[nodiscard]] std::int64_t batches() const { return source.batches(); }
    [[nodiscard]] thaw::BatchStream stream(std::int64_t epoch) const { return source.stream(epoch); }
    [[nodiscard]] bool ordered() const { return false; }
  };
  CHECK_THROWS_WITH(thaw::class_results(*bench.learner, Shuffles{bench.data(8)}),
                    ContainsSubstring("cannot give every sample in an order of its own"));
}

TEST_CASE("results as text: the matrix, the mistakes, each class") {
  const ClassResults results = farm_results();
  CHECK(fmt::format("{}", results) == thaw::to_text(results.matrix) + "\n" +
                                          thaw::to_text(thaw::most_confused_table(results.matrix)) + "\n" +
                                          thaw::to_text(thaw::ClassReport(results.matrix)));
}

TEST_CASE("results as a part of a page: the matrix as a figure, the mistakes, each class") {
  HtmlPart page;
  add_to(page, farm_results());
  const Xml html("<div>" + page.body() + "</div>");
  CHECK(html.all("p").at(0).text == "right: 28.6 % of 7");
  CHECK(html.all("svg", "thaw-figure").size() == 1);
  REQUIRE(html.all("table").size() == 2);
  const auto cells = html.all("td");
  REQUIRE(cells.size() == 3 * 3 + 6 * 5);
  CHECK(cells[0].text == "cat");
  CHECK(cells[1].text == "dog &amp; co");
  CHECK(cells[2].text == "2");

  HtmlPart right;
  const at::Tensor same = at::tensor({0, 1}, at::kLong);
  add_to(right, {.matrix{same, same}});
  CHECK(Xml("<div>" + right.body() + "</div>").all("table").size() == 1);
}

TEST_CASE("of many mistakes a reader is shown the ten most frequent") {
  std::vector<std::int64_t> predicted, actual;
  for (std::int64_t i = 0; i < 12; ++i)
    for (std::int64_t n = 0; n <= i; ++n) actual.push_back(i), predicted.push_back((i + 1) % 12);
  const ClassResults results{.matrix{at::tensor(predicted, at::kLong), at::tensor(actual, at::kLong)}};
  HtmlPart page;
  add_to(page, results);
  const auto cells = Xml("<div>" + page.body() + "</div>").all("td");
  REQUIRE(cells.size() == 10 * 3 + 15 * 5);
  CHECK(cells[0].text == "11");
  CHECK(cells[27].text == "2");
}
