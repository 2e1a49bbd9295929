// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/plan_plot.hpp>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <thaw/groups/freeze_combine.hpp>
#include <thaw/groups/gradual_unfreeze.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/schedule/step_decay.hpp>

#include "report/xml.hpp"
#include "support/bench.hpp"
#include "support/folder.hpp"

using thaw::DiscriminativeLR;
using thaw::StageDescription;
using thaw::to_figure;
using thaw::test::Xml;

namespace {

/// The head alone for one epoch, then group after group: 5 steps, and 15.
std::vector<StageDescription> gradual_plan() {
  thaw::test::Bench bench;
  return bench.learner->describe({{.name = "head", .freeze = thaw::FreezeTo{-1}, .lr = 1e-2},
                                  {.name = "gradual",
                                   .epochs = 3,
                                   .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}},
                                   .lr = DiscriminativeLR::each({1e-5, 1e-4, 1e-3}),
                                   .schedule = thaw::Constant{}}});
}

std::vector<std::vector<double>> blocks_of(const thaw::Panel& panel) {
  std::vector<std::vector<double>> found;
  for (const thaw::Block& block : panel.blocks) found.push_back({static_cast<double>(block.row), block.from, block.to});
  return found;
}

/// The x and y of the points that are drawn.
std::vector<std::vector<double>> drawn_points(const thaw::Series& series) {
  std::vector<std::vector<double>> found;
  for (std::size_t i = 0; i < series.x.size(); ++i)
    if (std::isfinite(series.y[i])) found.push_back({series.x[i], series.y[i]});
  return found;
}

}  // namespace

TEST_CASE("a plan is drawn before it runs: what is frozen when, each group's rate, the momentum, the stages") {
  const thaw::Figure figure = to_figure(gradual_plan());
  REQUIRE(figure.panels.size() == 3);
  const thaw::Panel &groups = figure.panels[0], &rates = figure.panels[1], &momentum = figure.panels[2];
  CHECK(groups.title == "layer groups");
  CHECK(groups.y.rows == std::vector<std::string>{"stem", "body", "head"});
  CHECK(blocks_of(groups) == std::vector<std::vector<double>>{{0, 0, 15}, {1, 0, 10}});
  REQUIRE(groups.series.size() == 3);
  CHECK(drawn_points(groups.series[0]) == std::vector<std::vector<double>>{{15, 0}, {20, 0}});
  CHECK(drawn_points(groups.series[1]) == std::vector<std::vector<double>>{{10, 1}, {20, 1}});
  CHECK(drawn_points(groups.series[2]) == std::vector<std::vector<double>>{{0, 2}, {20, 2}});

  REQUIRE(rates.series.size() == 4);  // the head's in each stage
  CHECK(rates.y.log);
  CHECK(drawn_points(rates.series[0]) ==
        std::vector<std::vector<double>>{{16, 1e-5}, {17, 1e-5}, {18, 1e-5}, {19, 1e-5}, {20, 1e-5}});
  CHECK(drawn_points(rates.series[1]).size() == 10);
  auto head = drawn_points(rates.series[2]);
  REQUIRE(head.size() == 5);
  std::ranges::copy(drawn_points(rates.series[3]), std::back_inserter(head));
  REQUIRE(head.size() == 20);
  for (std::size_t i = 0; i < 5; ++i)
    CHECK(head[i] ==
          std::vector<double>{static_cast<double>(i + 1), 1e-2 * thaw::OneCycle{}(static_cast<double>(i) / 5).lr});
  CHECK(head[5] == std::vector<double>{6, 1e-3});
  for (std::size_t i = 0; i < 4; ++i) CHECK(rates.series[i].color == groups.series[std::min<std::size_t>(i, 2)].color);

  CHECK(momentum.title == "momentum");
  CHECK(drawn_points(momentum.series[0]).size() == 5);  // Constant leaves it alone
  CHECK(drawn_points(momentum.series[0])[0] == std::vector<double>{1, 0.95});
  REQUIRE(figure.boundaries.size() == 2);
  CHECK(figure.boundaries[1].x == 5);
  CHECK(figure.boundaries[1].name == "gradual");
}

TEST_CASE("a frozen group whose norm layers train is shaded, with a dotted line in its colour") {
  thaw::test::Bench bench({.norm = true});
  const auto groups = [&](thaw::NormRule norm, thaw::AnyFreezePolicy freeze) {
    return to_figure(bench.learner->describe({{.epochs = 2, .freeze = std::move(freeze), .norm = norm}})).panels[0];
  };
  CHECK(groups({}, thaw::FreezeTo{-1}).blocks.size() == 2);
  CHECK(groups({}, thaw::FreezeTo{-1}).series.size() == 3);
  const thaw::Panel panel = groups({.frozen = thaw::Norm::train}, thaw::GradualUnfreeze{.every = thaw::Epochs{1}});
  CHECK(blocks_of(panel) == std::vector<std::vector<double>>{{0, 0, 10}, {1, 0, 5}});
  REQUIRE(panel.series.size() == 5);
  CHECK(drawn_points(panel.series[0]).empty());                                        // all of the stem never trains
  CHECK((panel.series[1].color == 14 && panel.series[1].name == "norm layers only"));  // color 0, dotted
  CHECK(drawn_points(panel.series[1]) == std::vector<std::vector<double>>{{0, 0}, {10, 0}});
  CHECK((panel.series[3].color == 15 && panel.series[3].name.empty()));
  CHECK(drawn_points(panel.series[3]) == std::vector<std::vector<double>>{{0, 1}, {5, 1}});
  CHECK(drawn_points(panel.series[2]) == std::vector<std::vector<double>>{{5, 1}, {10, 1}});
}

TEST_CASE("a group has one colour in all plans and panels; those that always have the same rate share a line") {
  thaw::test::Bench bench;
  for (const DiscriminativeLR& lr : {DiscriminativeLR::slice(1e-3), DiscriminativeLR::each({1e-5, 1e-4, 1e-3})}) {
    const thaw::Figure figure = to_figure(bench.learner->describe({{.lr = lr}}));
    std::vector<std::size_t> colors;
    for (const thaw::Series& line : figure.panels[1].series) {
      colors.push_back(line.color);
      colors.insert(colors.end(), line.shared_with.begin(), line.shared_with.end());
    }
    CHECK(colors == std::vector<std::size_t>{0, 1, 2});
    for (std::size_t i = 0; i < 3; ++i) CHECK(figure.panels[0].series[i].color == i);
  }
  const thaw::Figure shared = to_figure(bench.learner->describe({{.lr = DiscriminativeLR::slice(1e-3)}}));
  // where only a part of their lines is the same, that part is shared
  const auto part = to_figure(bench.learner->describe({{.lr = DiscriminativeLR::slice(1e-3)}, {.lr = 1e-2}}));
  REQUIRE(part.panels[1].series.size() == 3);
  CHECK(part.panels[1].series[1].shared_with == std::vector<std::size_t>{1, 2});
  REQUIRE(shared.panels[1].series.size() == 2);
  CHECK(shared.panels[1].series[0].shared_with == std::vector<std::size_t>{1});
}

TEST_CASE("of a long plan about a thousand steps of each stage are drawn, and all changes") {
  StageDescription stage{.name = "long", .epochs = 10, .steps_per_epoch = 123'457};
  stage.groups = {{.name = "body", .trained = 1, .lr = 1e-3, .first_step = 777'777},
                  {.name = "head", .trained = 1, .lr = 1e-3}};
  stage.schedule = thaw::StepDecay{.every_epochs = 9};
  stage.frozen = {{.step = 0, .frozen = {true, false}}, {.step = 777'777, .frozen = {false, false}}};
  const thaw::Panel rates = to_figure({stage}).panels[1];
  CHECK(rates.series[1].x.size() < 1100);
  CHECK(rates.series[1].x.back() == 1'234'570);
  const auto body = drawn_points(rates.series[0]);
  CHECK(body.front() == std::vector<double>{777'778, 1e-3});
  CHECK(body.back()[1] == 1e-4);
}

TEST_CASE("one group needs no rows, and no plan gives an empty figure") {
  const StageDescription stage{
      .name = "all", .epochs = 1, .steps_per_epoch = 4, .groups = {{.name = "net", .trained = 1, .lr = 1}}};
  REQUIRE(to_figure({stage}).panels.size() == 1);
  CHECK(to_figure({stage}).panels[0].title == "learning rate");
  CHECK(Xml{thaw::to_svg(std::vector<StageDescription>{})}.texts("empty").size() == 1);
}

TEST_CASE("a plan is written to a file, with the names of its groups and stages") {
  const thaw::test::Folder folder;
  write_svg(gradual_plan(), folder / "plan.svg");
  const std::string text = thaw::test::text_of(folder / "plan.svg");
  CHECK(text == thaw::to_svg(gradual_plan()));
  const Xml svg{text};
  CHECK(svg.texts("stage") == std::vector<std::string>{"head", "gradual"});
  CHECK(svg.texts("legend") == std::vector<std::string>{"frozen"});
  CHECK(svg.all("rect", "block").size() == 3);  // one in the legend
  CHECK(std::ranges::count(svg.texts("tick"), "body") == 1);
}
