// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/svg.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_contains.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fstream>
#include <sstream>

#include "report/xml.hpp"
#include "support/folder.hpp"
#include "support/numbers.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::Figure;
using thaw::to_svg;
using thaw::test::infinite;
using thaw::test::not_a_number;
using thaw::test::Xml;

namespace {

/// A figure of one panel.
Figure figure(std::vector<thaw::Series> series) {
  return {.panels = {{.title = "loss", .series = std::move(series)}}};
}

Xml drawn(const Figure& figure) {
  const std::string text = to_svg(figure);
  CHECK_THAT(text, !ContainsSubstring("nan") && !ContainsSubstring("inf"));
  return Xml{text};
}

std::size_t points(const thaw::test::Element& polyline) {
  const std::string text = polyline["points"];
  return static_cast<std::size_t>(std::ranges::count(text, ','));
}

}  // namespace

TEST_CASE("a series is one line, named in the legend, on labelled axes") {
  Figure f = figure({{.name = "raw", .x = {0, 1, 2}, .y = {3, 1, 2}, .thin = true},
                     {.name = "smoothed", .x = {0, 1, 2}, .y = {3, 2, 2}, .color = 1}});
  f.title = "A title";
  f.x.label = "steps";
  const Xml svg = drawn(f);
  CHECK(svg.elements[0].name == "svg");
  CHECK(svg.all("title")[0].text == "A title");
  CHECK(svg.all("polyline").size() == 2);
  CHECK(svg.all("polyline", "line thin").size() == 1);
  CHECK(svg.texts("title") == std::vector<std::string>{"loss"});
  CHECK(svg.texts("legend") == std::vector<std::string>{"raw", "smoothed"});
  CHECK(svg.texts("label") == std::vector<std::string>{"steps"});
  CHECK_THAT(svg.texts("tick"), Catch::Matchers::Contains("1.5"));
}

TEST_CASE("panels share the labels of the x axis, which stand under the last") {
  Figure f = figure({{.x = {100, 200}, .y = {0, 1}}});
  f.panels.push_back(f.panels[0]);
  const auto labels = drawn(f).texts("tick");
  CHECK(std::ranges::count(labels, "0.4") == 2);
  CHECK(std::ranges::count(labels, "160") == 1);
}

TEST_CASE("one series that is named like its panel needs no legend") {
  CHECK(drawn(figure({{.name = "loss", .x = {0, 1}, .y = {0, 1}}})).texts("legend").empty());
  CHECK(drawn(figure({{.name = "train", .x = {0, 1}, .y = {0, 1}}})).texts("legend").size() == 1);
}

TEST_CASE("thin series are drawn behind the others, whatever their order") {
  const Xml svg = drawn(figure({{.x = {0, 1}, .y = {0, 1}}, {.x = {0, 1}, .y = {1, 0}, .thin = true}}));
  CHECK(svg.all("polyline")[0]["class"] == "line thin");
}

TEST_CASE("values rise to the right and upwards") {
  const Xml svg = drawn(figure({{.x = {0, 1}, .y = {5, 6}, .dots = true}}));
  const auto dots = svg.all("circle", "dot");
  CHECK(dots[0].number("cx") < dots[1].number("cx"));
  CHECK(dots[0].number("cy") > dots[1].number("cy"));
}

TEST_CASE("on a logarithmic axis decades are equally far apart, and what is not positive is a gap") {
  Figure f = figure({{.x = {1e-6, 1e-4, 1e-2}, .y = {1, 0, 100}, .dots = true}});
  f.x.log = true;
  CHECK(drawn(f).all("circle", "dot").size() == 3);
  const auto dots = drawn(f).all("circle", "dot");
  CHECK(std::abs(dots[0].number("cx") + dots[2].number("cx") - 2 * dots[1].number("cx")) < 0.3);
  f.panels[0].y.log = true;
  CHECK(drawn(f).all("circle", "dot").size() == 2);
}

TEST_CASE("points that are not finite interrupt the line; one alone is a dot") {
  const Xml svg =
      drawn(figure({{.x = {0, 1, 2, 3, 4, 5, 6, 7}, .y = {1, 2, not_a_number, 1, infinite, 2, 3, -infinite}}}));
  CHECK(svg.all("polyline").size() == 2);
  CHECK(svg.all("circle", "dot").size() == 1);
}

TEST_CASE("a figure without data says so") {
  for (const Figure& f : {Figure{}, figure({}), figure({{.name = "a", .x = {}, .y = {}}}),
                          figure({{.name = "a", .x = {1, 2}, .y = {not_a_number, infinite}}})}) {
    const Xml svg = drawn(f);
    CHECK(svg.texts("empty") == std::vector<std::string>{"no data to show"});
    CHECK(svg.texts("legend").empty());
    CHECK(svg.texts("tick").empty());
  }
  CHECK(drawn(figure({{.x = {1, 2}, .y = {1, 2}}})).texts("empty").empty());
}

TEST_CASE("constant, single, tiny and huge data stay inside the picture") {
  const double most = std::numeric_limits<double>::max();
  for (const bool log : {false, true})
    for (const std::vector<double>& y : std::vector<std::vector<double>>{{5, 5, 5},
                                                                         {7},
                                                                         {0, 0},
                                                                         {1e-320, 1e-310},
                                                                         {1, 1 + 1e-15},
                                                                         {1e-300, 1e300},
                                                                         {-most, most},
                                                                         {-1, 1},
                                                                         {3, 1e5, 3}}) {
      Figure f = figure({{.x = {1, 2, 3}, .y = y, .dots = true}});
      f.panels[0].y.log = log;
      CAPTURE(log, y.front());
      for (const auto& dot : drawn(f).all("circle", "dot")) CHECK((dot.number("cy") > 0 && dot.number("cy") < 280));
    }
  CHECK(drawn(figure({{.x = {0, 1, 2}, .y = {-most, 0, most}}})).all("polyline").size() == 1);
}

TEST_CASE("names are escaped") {
  Figure f = figure({{.name = "a<b>&\"c\"\x01", .x = {0, 1}, .y = {0, 1}}, {.name = "d", .x = {0, 1}, .y = {0, 1}}});
  f.title = f.panels[0].title = f.x.label = "<&>";
  f.boundaries = {{.x = 0, .name = "<stage>"}};
  const Xml svg = drawn(f);
  CHECK(svg.texts("legend")[0] == "a&lt;b&gt;&amp;&quot;c&quot;\xEF\xBF\xBD");
  CHECK(svg.texts("stage")[0] == "&lt;stage&gt;");
  CHECK(thaw::detail::Attribute{"a", "<\"&\">"}.text == " a=\"&lt;&quot;&amp;&quot;&gt;\"");
}

TEST_CASE("a million points become a few per pixel, with all extremes") {
  thaw::Series series;
  for (int i = 0; i < 1'000'000; ++i) {
    series.x.push_back(i);
    series.y.push_back(i == 500'123 ? 9 : i == 700'007 ? -9 : i % 2);
  }
  const Xml svg = drawn(figure({series}));
  CHECK(points(svg.all("polyline")[0]) < 4 * 680);
  std::istringstream text{svg.all("polyline")[0]["points"]};
  double low = infinite, high = -infinite, x = 0, y = 0;
  for (char comma = 0; text >> x >> comma >> y;) low = std::min(low, y), high = std::max(high, y);
  CHECK(high - low > 170);  // of 200: both spikes are there
}

TEST_CASE("after seven colours the dash pattern changes") {
  const Xml svg = drawn(figure({{.x = {0, 1}, .y = {0, 1}, .color = 1}, {.x = {0, 1}, .y = {0, 1}, .color = 8}}));
  const auto lines = svg.all("polyline");
  CHECK(lines[0]["stroke-dasharray"] == "none");
  CHECK(lines[1]["stroke-dasharray"] == "7 4");
  CHECK(svg.all("g", "c1").size() == 2);
}

TEST_CASE("boundaries cross every panel; their names stand once, above all") {
  Figure f = figure({{.x = {0, 100}, .y = {0, 1}}});
  f.panels.push_back(f.panels[0]);
  f.x.lowest = 0;
  f.boundaries = {{.x = 0, .name = "head"}, {.x = 40, .name = "all"}, {.x = 500, .name = "outside"}};
  const Xml svg = drawn(f);
  CHECK(svg.texts("stage") == std::vector<std::string>{"head", "all"});
  CHECK(svg.all("line", "boundary").size() == 3);  // two panels and the name's own; none on the axis itself
}

TEST_CASE("crowded names climb so that neither names nor lines cross them") {
  const thaw::detail::Scale x{.range = {0, 100}, .begin = 0, .end = 600};
  Figure f;
  f.boundaries = {{.x = 0, .name = "the first stage"},
                  {.x = 10, .name = "second stage"},
                  {.x = 12, .name = "third"},
                  {.x = 60, .name = "fourth"}};
  const auto labels = thaw::detail::boundary_labels(f, x, 620);
  REQUIRE(labels.size() == 4);
  CHECK(labels[0].row == 2);
  CHECK(labels[1].row == 1);
  CHECK(labels[2].row == 0);
  CHECK(labels[3].row == 0);
  CHECK(labels[0].name == "the first stage");
  std::swap(f.boundaries[0], f.boundaries[3]);
  CHECK(thaw::detail::boundary_labels(f, x, 620)[0].row == 2);
  f.name_rows = 2;
  CHECK(thaw::detail::boundary_labels(f, x, 620)[0].name == "the ..");
  f.name_rows = 1;
  CHECK(thaw::detail::boundary_labels(f, x, 620)[1].name.empty());
}

TEST_CASE("a name that starts near the right end moves the plot, not itself") {
  for (const double at : {85, 90, 94, 97, 99}) {
    Figure f = figure({{.x = {0, 100}, .y = {0, 1}}});
    f.boundaries = {{.x = at, .name = "final polish"}, {.x = 101, .name = "outside, with a long name"}};
    const auto name = drawn(f).all("text", "stage")[0];
    CHECK(name.text == "final polish");
    CHECK(name.number("x") + thaw::detail::text_width(name.text) < f.width);
  }
}

TEST_CASE("a panel of rows has a name for each, downwards, with shaded blocks and lines in their rows") {
  Figure f = figure({{.x = {0, 100}, .y = {1, 1}}});
  f.panels[0].y.rows = {"stem", "body", "a group with quite a long name"};
  f.panels[0].blocks = {
      {.row = 0, .from = 0, .to = 50}, {.row = 2, .from = 60, .to = 1000}, {.row = 2, .from = 5, .to = 5}};
  f.panels[0].blocks_name = "frozen";
  f.x.lowest = 0;
  f.x.highest = 100;
  const Xml svg = drawn(f);
  const auto blocks = svg.all("rect", "block");
  REQUIRE(blocks.size() == 3);  // the first is in the legend; one of no length is not drawn
  CHECK(svg.texts("legend") == std::vector<std::string>{"frozen"});
  const auto plot = svg.all("svg")[1];
  const double middle = plot.number("y") + plot.number("height") / 2;
  CHECK_THAT(blocks[1].number("width"), Catch::Matchers::WithinAbs(plot.number("width") / 2, 0.2));
  CHECK_THAT(blocks[2].number("width"), Catch::Matchers::WithinAbs(plot.number("width") * 0.4, 0.2));  // cut off
  CHECK(blocks[1].number("y") + blocks[1].number("height") < middle);
  CHECK(blocks[2].number("y") > middle);
  CHECK_THAT(svg.all("polyline")[0]["points"], ContainsSubstring("," + thaw::detail::px(middle) + " "));
  const auto ticks = svg.texts("tick");
  CHECK(std::vector(ticks.end() - 3, ticks.end()) == std::vector<std::string>{"stem", "body", "..uite a long name"});
}

TEST_CASE("blocks alone are data") {
  Figure f = figure({});
  f.panels[0].y.rows = {"a"};
  f.panels[0].blocks = {{.row = 0, .from = 3, .to = 7}};
  CHECK(drawn(f).texts("empty").empty());
  CHECK(drawn(f).all("rect", "block").size() == 1);
  CHECK_THAT(drawn(f).texts("tick"), Catch::Matchers::Contains("5.0"));  // the x axis reaches over them
}

TEST_CASE("a marker outside the limits stands on the edge, one that is nowhere is left out") {
  Figure f = figure({{.x = {0, 1}, .y = {0, 1}}});
  f.panels[0].y = {.lowest = 0, .highest = 1};
  f.panels[0].markers = {{.x = 0.5, .y = 0.5}, {.x = 0.5, .y = 7}, {.x = not_a_number}};
  const Xml svg = drawn(f);
  REQUIRE(svg.all("circle", "marker").size() == 2);
  CHECK(svg.all("circle", "marker")[1].number("cy") == svg.all("svg")[1].number("y"));
  f.panels[0].y = {};
  CHECK_THAT(drawn(f).texts("tick"), Catch::Matchers::Contains("6"));  // without limits, the axis reaches the marker
  f.panels[0].markers = {{.x = 5, .y = 0.5}};
  CHECK_THAT(drawn(f).texts("tick"), Catch::Matchers::Contains("4.0") || Catch::Matchers::Contains("4"));
}

TEST_CASE("colors that share a line take turns along it") {
  const Xml svg = drawn(figure({{.x = {0, 1}, .y = {0, 1}, .color = 0, .shared_with = {2, 3}}}));
  const auto lines = svg.all("polyline");
  REQUIRE(lines.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(lines[i]["points"] == lines[0]["points"]);
    CHECK(lines[i]["stroke-dasharray"] == "9 18");
    CHECK(lines[i].number("stroke-dashoffset") == -9.0 * static_cast<double>(i));
  }
  for (const char* color : {"c0", "c2", "c3"}) CHECK(svg.all("g", color).size() == 1);
}

TEST_CASE("a strong boundary stands out in its name and in every panel") {
  Figure f = figure({{.x = {0, 100}, .y = {0, 1}}});
  f.boundaries = {{.x = 40, .name = "one"}, {.x = 60, .name = "other", .strong = true}};
  const Xml svg = drawn(f);
  CHECK(svg.texts("stage") == std::vector<std::string>{"one"});
  CHECK(svg.texts("stage main") == std::vector<std::string>{"other"});
  CHECK(svg.all("line", "boundary main").size() == 2);
}

TEST_CASE("the legend wraps") {
  Figure f = figure({});
  for (int i = 0; i < 12; ++i)
    f.panels[0].series.push_back({.name = "group number " + std::to_string(i), .x = {0, 1}, .y = {0, 1}});
  const auto entries = drawn(f).all("text", "legend");
  CHECK(entries.back().number("y") > entries.front().number("y"));
  for (const auto& entry : entries) CHECK(entry.number("x") + thaw::detail::text_width(entry.text) <= f.width);
}

TEST_CASE("figures can be put into one page: styles are their own, and there are no ids") {
  const std::string text = to_svg(figure({{.x = {0, 1}, .y = {0, 1}}}));
  CHECK_THAT(text, !ContainsSubstring("id=\""));
  CHECK_THAT(text, ContainsSubstring("prefers-color-scheme:dark"));
  std::istringstream style{Xml{text}.all("style")[0].text};
  for (std::string rule; std::getline(style, rule);)
    CHECK((rule.empty() || rule == "}" || rule.starts_with("@media") || rule.starts_with(".thaw-figure")));
}

TEST_CASE("a file is replaced whole, or an error names it and nothing is left behind") {
  const thaw::test::Folder folder;
  std::filesystem::create_directories(folder / "taken.svg" / "full");
  const auto files = [&] {
    const std::filesystem::directory_iterator all{folder.path};
    return std::distance(begin(all), end(all));
  };
  const Figure f = figure({{.x = {0, 1}, .y = {0, 1}}});

  std::ofstream{folder / "a.svg"} << "old";
  write_svg(f, folder / "a.svg");
  CHECK(thaw::test::text_of(folder / "a.svg") == to_svg(f));
  CHECK(files() == 2);

  try {
    write_svg(f, folder / "taken.svg");
    FAIL("no error");
  } catch (const thaw::FileError& error) {
    CHECK(error.where() == (folder / "taken.svg").string());
    CHECK_THAT(error.problem(), ContainsSubstring("cannot be replaced"));
  }
  CHECK(files() == 2);
  try {
    write_svg(f, folder / "missing" / "a.svg");
    FAIL("no error");
  } catch (const thaw::FileError& error) {
    CHECK_THAT(error.problem(), ContainsSubstring("cannot be created: No such file or directory"));
  }
}
