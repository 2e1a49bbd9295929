// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/run_plot.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "report/xml.hpp"
#include "support/folder.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::WithinRel;
using thaw::History;
using thaw::to_figure;
using thaw::test::Xml;

namespace {

/// A stage of `epochs` epochs of ten steps, each at rates `lr`.
void train(History& h, const std::string& stage, int epochs, std::vector<double> lr,
           std::vector<thaw::MetricValue> metrics) {
  h.stages.push_back({.name = stage, .first_step = h.steps_done, .steps = 10 * epochs});
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    for (int i = 0; i < 10; ++i) h.add({.lr = lr, .momentum = 0.9, .loss = i % 2 == 0 ? 1.0 : 2.0});
    h.epochs.push_back({.stage = stage,
                        .epoch = epoch,
                        .epochs = epochs,
                        .steps_done = h.steps_done,
                        .valid = thaw::Evaluation{1.25, metrics}});
  }
}

History run() {
  History h{.groups = {"stem", "deep", "head"}};
  train(h, "head", 1, {0, 0, 1e-2}, {{"accuracy", 0.5}});
  train(h, "all", 3, {1e-5, 1e-5, 1e-3}, {{"accuracy", 0.75}});
  return h;
}

std::vector<std::string> titles(const thaw::Figure& figure) {
  std::vector<std::string> found;
  for (const thaw::Panel& panel : figure.panels) found.push_back(panel.title);
  return found;
}

std::vector<std::string> names(const thaw::Panel& panel) {
  std::vector<std::string> found;
  for (const thaw::Series& series : panel.series) found.push_back(series.name);
  return found;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a run is drawn panel below panel, over one axis of steps") {
  const thaw::Figure f = to_figure(run());
  CHECK(titles(f) == Names{"loss", "accuracy", "layer groups", "learning rate", "momentum"});
  CHECK(names(f.panels[0]) == Names{"training, per step", "smoothed", "validation"});
  CHECK(f.panels[0].series[0].thin);
  CHECK(f.panels[0].series[2].x == std::vector<double>{10, 20, 30, 40});
  CHECK(f.panels[0].series[2].y == std::vector<double>(4, 1.25));
  CHECK(f.panels[1].series[0].y == std::vector<double>{0.5, 0.75, 0.75, 0.75});
  const Xml svg{thaw::to_svg(run())};
  CHECK(svg.texts("title") == titles(f));
  CHECK(svg.texts("stage") == Names{"head", "all"});
  CHECK(svg.texts("label") == Names{"optimizer steps"});
}

TEST_CASE("stages begin at their first step") {
  const thaw::Figure f = to_figure(run());
  REQUIRE(f.boundaries.size() == 2);
  CHECK(f.boundaries[1].x == 10);
  CHECK(f.boundaries[1].name == "all");
}

TEST_CASE("lines pause where a stage begins") {
  const Xml svg{thaw::to_svg(run())};
  CHECK(svg.all("polyline", "line thin").size() == 2);
  const thaw::Series raw = to_figure(run()).panels[0].series[0];
  REQUIRE(raw.x.size() == 42);
  CHECK((raw.x[0] == 0 && std::isnan(raw.y[0])));
  CHECK((raw.x[1] == 1 && raw.y[1] == 1.0));
  CHECK((raw.x[11] == 10 && std::isnan(raw.y[11])));
}

TEST_CASE("a history that keeps every fourth step is drawn where those steps were") {
  History h{.groups = {"stem", "deep", "head"}, .max_recorded_steps = 16};
  train(h, "head", 1, {0, 0, 1e-2}, {});
  train(h, "all", 3, {1e-5, 1e-5, 1e-3}, {});
  REQUIRE(h.every == 4);
  const thaw::Series line = to_figure(h).panels[0].series[0];
  REQUIRE(line.x.size() == 10 + 2);
  CHECK(line.x[1] == 1);
  CHECK(line.x[2] == 5);
  CHECK(line.x[3] == 9);
  CHECK(line.x[4] == 12);  // the pause, at the first record of the stage that began after 10 steps
  CHECK(std::isnan(line.y[4]));
  CHECK(line.x[5] == 13);
  CHECK(line.x[11] == 37);
  CHECK(to_figure(h).panels[0].series[2].x == std::vector<double>{10, 20, 30, 40});
}

TEST_CASE("a frozen group has no rate, and groups with the same rates share a line") {
  const thaw::Panel groups = to_figure(run()).panels[2], rates = to_figure(run()).panels[3];
  CHECK(rates.y.log);
  CHECK(rates.series.size() == 3);  // the head's in each stage
  CHECK(groups.y.rows == Names{"stem", "deep", "head"});
  for (std::size_t i = 0; i < 3; ++i) CHECK(groups.series[i].color == i);
  CHECK((rates.series[0].color == 0 && rates.series[0].shared_with == std::vector<std::size_t>{1}));
  CHECK((rates.series[1].color == 2 && rates.series[2].color == 2));
  const auto& y = rates.series[0].y;
  CHECK(y == std::vector<double>(30, 1e-5));

  History changed = run();
  changed.steps[20].lr.clear();
  const auto pieces = to_figure(changed).panels[3].series;
  REQUIRE(pieces.size() == 5);
  CHECK((pieces[0].y.size() == 10 && pieces[1].y.size() == 19));
}

TEST_CASE("what stood still is shaded, from step to step") {
  const auto blocks = [](const History& h) {
    std::vector<std::vector<double>> found;
    const thaw::Figure figure = to_figure(h);
    for (const thaw::Block& block : figure.panels[1].blocks)
      found.push_back({static_cast<double>(block.row), block.from, block.to});
    return found;
  };
  using Blocks = std::vector<std::vector<double>>;
  History h{.groups = {"stem", "deep", "head"}};
  train(h, "head", 1, {0, 0, 1e-2}, {});
  train(h, "gradual", 1, {0, 1e-4, 1e-3}, {});
  train(h, "surgical", 1, {1e-3, 0, 1e-3}, {});
  CHECK(to_figure(h).panels[1].title == "layer groups");
  CHECK(to_figure(h).panels[1].blocks_name == "frozen");
  CHECK(blocks(h) == Blocks{{0, 0, 20}, {1, 0, 10}, {1, 20, 30}});
  const thaw::Series deep = to_figure(h).panels[1].series[1];
  CHECK(deep.x == std::vector<double>{0, 10, 10, 20, 20, 30});
  CHECK((std::isnan(deep.y[1]) && deep.y[2] == 1 && deep.y[3] == 1 && std::isnan(deep.y[4])));

  h.steps[15].lr = {0, 0, 0};  // a schedule at 0 freezes nothing
  CHECK(blocks(h) == Blocks{{0, 0, 20}, {1, 0, 10}, {1, 20, 30}});
  h.steps[20].lr = {0, 0, 0};  // nor does one that begins there
  h.stages[2].frozen = {false, true, false};
  CHECK(blocks(h) == Blocks{{0, 0, 20}, {1, 0, 10}, {1, 20, 30}});

  History sparse{.groups = {"body", "head"}, .max_recorded_steps = 4};
  train(sparse, "head", 1, {0, 1}, {});
  REQUIRE(sparse.every == 4);
  CHECK(blocks(sparse) == Blocks{{0, 0, 10}});  // though the last record is of the step before the last

  History one{.groups = {"all"}};
  train(one, "a", 1, {1}, {});
  CHECK(titles(to_figure(one)) == Names{"loss", "learning rate", "momentum"});
}

TEST_CASE("a body whose norm layers alone train is shaded, in the epochs that say so") {
  History h{.groups = {"body", "head"}};
  train(h, "gradual", 3, {1e-3, 1e-2}, {});
  h.stages[0].frozen = {true, false};
  h.epochs[0].norms_only = {true, false};
  h.epochs[1].norms_only = {false, false};
  h.epochs.pop_back();  // the third is running
  const auto panel = [&] { return to_figure(h).panels[1]; };
  REQUIRE(panel().blocks.size() == 1);
  CHECK((panel().blocks[0].row == 0 && panel().blocks[0].from == 0 && panel().blocks[0].to == 10));
  REQUIRE(panel().series.size() == 3);
  CHECK(panel().series[1].name == "norm layers only");
  CHECK((panel().series[1].y[0] == 0 && std::isnan(panel().series[1].y[2])));
  CHECK((std::isnan(panel().series[0].y[0]) && panel().series[0].y[2] == 0));
  h.epochs.clear();  // the first is: as the stage began
  CHECK(panel().blocks[0].to == 30);
}

TEST_CASE("the first steps do not flatten the panel of losses, and the title says what is cut off") {
  History h{.groups = {"all"}};
  train(h, "a", 10, {1}, {});
  for (std::size_t i = 0; i < 100; ++i)
    h.steps[i].loss = i < 5 ? 50 - 8 * static_cast<double>(i) : i % 2 == 0 ? 0.9 : 1.1;
  const thaw::Panel loss = to_figure(h).panels[0];
  CHECK(*loss.y.highest < 10);
  CHECK(loss.title == "loss, cut off: up to 50");
  for (std::size_t i = 0; i < 5; ++i) h.steps[i].loss = 1;
  CHECK(to_figure(h).panels[0].title == "loss");
  h.epochs[4].valid->loss = 1e5;  // nor does an epoch that broke everything
  CHECK(*to_figure(h).panels[0].y.highest < 10);
}

TEST_CASE("a metric with a value for each class has a panel of its own, and of many the lowest") {
  History h{.groups = {"all"}};
  train(h, "a", 2, {1}, {{"accuracy", 0.5}, {"iou[cell]", 0.2}, {"iou[void]", 0.9}, {"f1[cell]", 0.3}});
  const thaw::Figure f = to_figure(h);
  CHECK(titles(f) == Names{"loss", "accuracy", "iou", "f1", "learning rate", "momentum"});
  CHECK(names(f.panels[2]) == Names{"cell", "void"});
  std::vector<thaw::MetricValue> many;
  for (int i = 0; i < 40; ++i) many.push_back({"iou[" + std::to_string(i) + "]", 1 - 0.01 * i});
  many[0].value = std::numeric_limits<double>::quiet_NaN();
  History crowded{.groups = {"all"}};
  train(crowded, "a", 2, {1}, many);
  const thaw::Panel iou = to_figure(crowded).panels[1];
  CHECK(iou.title == "iou, the lowest of 40");
  CHECK(names(iou) == Names{"39", "38", "37", "36", "35", "34", "33"});
}

TEST_CASE("the axis of rates ends below the lowest peak, not where one-cycle ends") {
  History h{.groups = {"body", "head"}};
  train(h, "head", 1, {0, 1e-2}, {});
  CHECK_FALSE(to_figure(h).panels[2].y.lowest.has_value());
  for (std::size_t i = 0; i < 10; ++i) h.steps[i].lr = {1e-4 * std::pow(0.1, i), 1e-2};
  CHECK_THAT(*to_figure(h).panels[2].y.lowest, WithinRel(1e-4 / 30, 1e-9));
  h.steps[5].lr[0] = 0;  // the peak of what follows is 1e-10
  CHECK_THAT(*to_figure(h).panels[2].y.lowest, WithinRel(1e-10 / 30, 1e-9));
}

TEST_CASE("metrics in [0, 1] share a panel, others have their own; none, no panel") {
  History h{.groups = {"all"}};
  train(h, "a", 1, {1}, {{"accuracy", 0.5}, {"perplexity", 40}});
  train(h, "b", 1, {1}, {{"accuracy", 0.5}, {"f1", 1}, {"perplexity", 0.5}, {"r2", -0.5}});
  const thaw::Figure f = to_figure(h);
  CHECK(titles(f) == Names{"loss", "metrics", "perplexity", "r2", "learning rate", "momentum"});
  CHECK(names(f.panels[1]) == Names{"accuracy", "f1"});
  CHECK(f.panels[1].series[0].color != f.panels[1].series[1].color);
  CHECK(std::isnan(f.panels[1].series[1].y[0]));

  History none{.groups = {"all"}};
  train(none, "a", 1, {1}, {});
  CHECK(titles(to_figure(none)) == Names{"loss", "learning rate", "momentum"});
}

TEST_CASE("what a run lacks is not drawn") {
  History h = run();
  for (auto& step : h.steps) step.momentum.reset();
  for (auto& epoch : h.epochs) epoch.valid.reset();
  CHECK(titles(to_figure(h)) == Names{"loss", "layer groups", "learning rate"});
  CHECK(names(to_figure(h).panels[0]) == Names{"training, per step", "smoothed"});
  CHECK(Xml{thaw::to_svg(History{})}.texts("empty").size() == 2);
}

TEST_CASE("an epoch that was cut short is drawn where it ended") {
  History h = run();
  h.epochs.back().steps_done = 33;
  const thaw::Panel loss = to_figure(h).panels[0];
  CHECK(loss.series[2].name == "validation");
  CHECK(loss.series[2].x == std::vector<double>{10, 20, 30, 33});
}

TEST_CASE("a loss that is not finite leaves a gap and spoils neither the limits nor the smoothing") {
  History h = run();
  h.steps[15].loss = std::numeric_limits<double>::quiet_NaN();
  h.steps[16].loss = std::numeric_limits<double>::infinity();
  CHECK_THAT(thaw::to_svg(h), !ContainsSubstring("nan") && !ContainsSubstring("inf"));
  const thaw::Panel loss = to_figure(h).panels[0];
  CHECK(std::ranges::count_if(loss.series[1].y, [](double v) { return !std::isfinite(v); }) == 4);
  CHECK(*loss.y.highest < 3);
}

TEST_CASE("smoothing neither lags nor leans, and starts anew in every stage") {
  const std::vector<double> line{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
  const auto smooth = thaw::detail::smoothed(line, 4);
  CHECK_THAT(smooth[10], WithinRel(10.0, 1e-9));
  CHECK_THAT(smooth[0] + smooth[20], WithinRel(20.0, 1e-9));
  CHECK(thaw::detail::smoothed({}, 4).empty());
  const std::vector<double> noise{1, 3, 1, 3, 1, 3, 1, 3};
  for (const double s : thaw::detail::smoothed(noise, 8)) CHECK((s > 1.4 && s < 2.6));

  History h{.groups = {"all"}};
  train(h, "a", 2, {1}, {});
  train(h, "b", 2, {1}, {});
  for (std::size_t i = 0; i < 20; ++i) h.steps[i].loss = 5;
  for (std::size_t i = 20; i < 40; ++i) h.steps[i].loss = 1;
  const auto y = thaw::detail::StepSeries{h}.smoothed_losses();
  CHECK_THAT(y[19], WithinRel(5.0, 1e-9));
  CHECK_THAT(y[20], WithinRel(1.0, 1e-9));
}

TEST_CASE("a run is written to a file") {
  const thaw::test::Folder folder;
  write_svg(run(), folder / "a.svg");
  CHECK(thaw::test::text_of(folder / "a.svg") == to_svg(run()));
}
