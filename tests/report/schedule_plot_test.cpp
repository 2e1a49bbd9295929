// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/schedule_plot.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <thaw/schedule/cosine.hpp>
#include <thaw/schedule/decay.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/schedule/step_decay.hpp>

#include "report/xml.hpp"
#include "support/folder.hpp"

using thaw::SchedulePlot;
using thaw::to_figure;

TEST_CASE("schedules are drawn over the stage by name: multipliers, and momenta where one sets some") {
  const SchedulePlot plot{{{"one-cycle", thaw::OneCycle{}}, {"cosine", thaw::Cosine{}}}};
  const thaw::Figure figure = to_figure(plot);
  REQUIRE(figure.panels.size() == 2);
  CHECK(figure.panels[0].title == "multiplier of the rate");
  REQUIRE(figure.panels[0].series.size() == 2);
  const thaw::Series& rate = figure.panels[0].series[0];
  CHECK(rate.name == "one-cycle");
  REQUIRE(rate.x.size() == 500);
  CHECK((rate.x[0] == 0 && rate.x[125] == 0.25 && rate.x[499] == 0.998));
  for (const std::size_t i : {0U, 50U, 125U, 499U}) CHECK(rate.y[i] == thaw::OneCycle{}(rate.x[i]).lr);
  CHECK(figure.panels[1].title == "momentum");
  CHECK(figure.panels[1].series[0].y[125] == 0.85);
  CHECK(std::isnan(figure.panels[1].series[1].y[125]));
  CHECK(figure.panels[1].series[1].color == figure.panels[0].series[1].color);
  CHECK(to_figure(SchedulePlot{{{"cosine", thaw::Cosine{}}}}).panels.size() == 1);
}

TEST_CASE("with a peak rate, rates are drawn, on a logarithmic axis if wanted") {
  const thaw::Figure figure = to_figure(SchedulePlot{.schedules = {{"a", thaw::LinearDecay{}}}, .lr = 3e-3, .log = true});
  CHECK(figure.panels[0].title == "learning rate");
  CHECK(figure.panels[0].y.log);
  CHECK(figure.panels[0].series[0].y[250] == 3e-3 * thaw::LinearDecay{}(0.5));
}

TEST_CASE("schedules that count in epochs or steps are drawn over the stage that is given") {
  const auto drops = [](std::int64_t steps, std::int64_t epochs) {
    const auto y = to_figure(SchedulePlot{{{"a", thaw::StepDecay{.every_epochs = 1, .gamma = 0.5}, steps, epochs}}})
                       .panels[0]
                       .series[0]
                       .y;
    return y.back();
  };
  CHECK(drops(8, 4) == 0.125);
  CHECK(drops(1000, 2) == 0.5);
}

TEST_CASE("schedules that say the same share a line, also those of stages of other lengths") {
  const thaw::Figure figure = to_figure(SchedulePlot{{{"head", thaw::OneCycle{}, 47, 1},
                                                      {"flat", thaw::OneCycle{.cycle_momentum = false}},
                                                      {"all", thaw::OneCycle{}, 9001, 3}}});
  REQUIRE(figure.panels[0].series.size() == 2);
  CHECK(figure.panels[0].series[0].name == "head, all");
  CHECK(figure.panels[0].series[1].name == "flat");
  CHECK(figure.panels[0].series[1].color == 1);
}

TEST_CASE("a schedule that makes no sense is not drawn") {
  CHECK_THROWS_AS(to_figure(SchedulePlot{{{"a", thaw::OneCycle{.pct_start = 2}}}}), thaw::ConfigError);
  CHECK_THROWS_AS(to_figure(SchedulePlot{{{"a", thaw::Cosine{}, 4, 5}}}), thaw::ConfigError);
  CHECK_THROWS_AS(to_figure(SchedulePlot{{{"a", thaw::Cosine{}, 4, 0}}}), thaw::ConfigError);
  CHECK_NOTHROW(to_figure(SchedulePlot{{{"a", thaw::Cosine{}, 5, 5}}}));
  CHECK(thaw::test::Xml{thaw::to_svg(SchedulePlot{})}.texts("empty").size() == 1);
}

TEST_CASE("schedules are written to a file") {
  const thaw::test::Folder folder;
  const SchedulePlot plot{{{"cosine", thaw::Cosine{}}, {"linear", thaw::LinearDecay{}}}};
  write_svg(plot, folder / "a.svg");
  CHECK(thaw::test::text_of(folder / "a.svg") == thaw::to_svg(plot));
  CHECK(thaw::test::Xml{thaw::to_svg(plot)}.texts("legend") == std::vector<std::string>{"cosine", "linear"});
}
