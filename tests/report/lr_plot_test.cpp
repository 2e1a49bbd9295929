// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/lr_plot.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>

#include "report/xml.hpp"
#include "support/folder.hpp"
#include "support/numbers.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::LRCurve;
using thaw::to_figure;
using thaw::to_text;
using thaw::test::not_a_number;
using thaw::test::Xml;

namespace {

/// Flat at 2, down to 1 between 1e-4 and 1e-2, and up past all bounds from 1 on.
LRCurve curve() {
  LRCurve c{.planned = 100};
  for (int i = 0; i < 100; ++i) {
    const double exponent = -7 + 0.08 * i, fall = std::clamp((exponent + 4) / 2, 0.0, 1.0);
    c.lr.push_back(std::pow(10, exponent));
    c.smoothed.push_back(2 - fall + (exponent > 0 ? 100 * exponent : 0));
    c.loss.push_back(c.smoothed.back() + (i % 2 == 0 ? 0.1 : -0.1));
  }
  return c;
}

}  // namespace

TEST_CASE("the curve's figure: raw and smoothed loss over the rate, with every suggestion marked") {
  const LRCurve c = curve();
  const Xml svg{to_svg(c)};
  CHECK(svg.texts("legend") == std::vector<std::string>{"raw", "smoothed"});
  CHECK(svg.all("polyline", "line thin").size() == 1);
  CHECK(svg.all("polyline", "line").size() == 1);
  CHECK(to_figure(c).x.log);

  const auto suggested = suggestions(c);
  REQUIRE(suggested.size() == 5);
  std::vector<std::string> labels;
  for (const auto& s : suggested) labels.push_back(s.name + " " + thaw::detail::scientific(s.lr, 1));
  labels.back() += " (take)";  // before_rise, the recommended one
  std::vector<std::string> names = svg.texts("stage");
  for (const std::string& name : svg.texts("stage main")) names.push_back(name);
  std::ranges::sort(names);
  CHECK(svg.texts("stage main") == std::vector{labels.back()});
  std::ranges::sort(labels);
  CHECK(names == labels);
  const thaw::Panel panel = to_figure(c).panels[0];
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(panel.markers[i].x == suggested[i].lr);
    CHECK(panel.markers[i].y == suggested[i].loss);
    for (std::size_t j = 0; j < i; ++j) CHECK(panel.markers[i].color != panel.markers[j].color);
  }
}

TEST_CASE("the loss of held-out samples is a curve of its own, from the first step on") {
  LRCurve c = curve();
  c.held_out_lr = {0, 1e-5, 1e-3, 1e-1};
  c.held_out = {2, 2, 1.5, 9};
  CHECK(Xml{to_svg(c)}.texts("legend") == std::vector<std::string>{"raw", "smoothed", "held-out"});
  CHECK(to_figure(c).panels[0].series[2].x == std::vector{1e-5, 1e-3, 1e-1});
  CHECK(to_figure(c).panels[0].series[2].y == std::vector{2., 1.5, 9.});
  const thaw::Panel panel = to_figure(c).panels[0];  // in a color of its own
  CHECK(panel.series[2].color != panel.series[1].color);
  for (const thaw::Marker& marker : panel.markers) CHECK(marker.color != panel.series[2].color);
}

TEST_CASE("spikes of raw losses do not flatten the curve, and the fall of held-out ones is in it") {
  LRCurve c = curve();
  const thaw::Axis before = to_figure(c).panels[0].y;
  c.loss[10] = 1000;
  c.loss[20] = -1000;
  CHECK(to_figure(c).panels[0].y.lowest == before.lowest);
  CHECK(to_figure(c).panels[0].y.highest == before.highest);
  c.held_out_lr = {0, 1e-5, 1e-3, 1e-1};
  c.held_out = {2, 2, 0.5, 9};
  CHECK(*to_figure(c).panels[0].y.lowest < 0.5);
  CHECK(*to_figure(c).panels[0].y.highest < 3);
}

TEST_CASE("a low loss at the beginning hides nothing of what follows before the rise") {
  LRCurve c;
  for (int i = 0; i < 50; ++i) {
    c.lr.push_back(std::pow(10, -6 + 0.1 * i));
    c.smoothed.push_back(i == 1 ? 0.4 : i < 45 ? 0.5 : 0.5 * (i - 43));
  }
  c.loss = c.smoothed;
  CHECK((*to_figure(c).panels[0].y.lowest < 0.4 && *to_figure(c).panels[0].y.highest > 0.5));
  CHECK(*to_figure(c).panels[0].y.highest < 1);
}

TEST_CASE("a flat curve is not blown up until its noise looks like a rise") {
  LRCurve c;
  for (int i = 0; i < 50; ++i) {
    c.lr.push_back(std::pow(10, -6 + 0.1 * i));
    c.smoothed.push_back(1.6 - 0.01 * (i % 2) + (i > 45 ? 5 * (i - 45) : 0));
  }
  c.loss = c.smoothed;
  CHECK(*to_figure(c).panels[0].y.highest > 1.85);
  CHECK(*to_figure(c).panels[0].y.highest < 2);
}

TEST_CASE("the rates that were taken are marked, with the stage and the rule; no other is recommended then") {
  const LRCurve c = curve();
  const double valley = *suggestion(c, "valley");
  const thaw::Figure f = to_figure(c, {.taken = {{"head", valley * (1 + 1e-12)}, {"head", 2e-5}}});
  std::vector<std::string> strong;
  for (const thaw::Boundary& each : f.boundaries) {
    CHECK(each.name.find("(take)") == std::string::npos);
    if (each.strong) strong.push_back(each.name);
  }
  CHECK(strong == std::vector<std::string>{"valley 8.3e-4: head", "taken 2.0e-5: head"});
  CHECK(f.panels[0].markers.back().x == 2e-5);
  CHECK(f.panels[0].markers.back().y == 2);
  CHECK(to_figure(LRCurve{}, {.taken = {{"head", 1e-3}}}).boundaries.size() == 1);
}

TEST_CASE("no name of a suggestion touches another, nor a line that is not its own") {
  LRCurve c = curve();
  for (double& lr : c.lr) lr *= 20;  // towards the right end
  const thaw::Figure f = to_figure(c, {.taken = {{"a stage with quite a long name", 3e-1}}});
  const Xml svg{to_svg(f)};
  std::vector<thaw::test::Element> names = svg.all("text", "stage");
  for (const auto& each : svg.all("text", "stage main")) names.push_back(each);
  REQUIRE(names.size() == 6);
  for (const auto& a : names) {
    const double left = a.number("x"), right = left + thaw::detail::text_width(a.text), y = a.number("y");
    CHECK(right <= svg.elements[0].number("width"));
    for (const auto& b : names)
      if (&a != &b && b.number("y") == y) CHECK((b.number("x") > right || b.number("x") + 5 < left));
    for (const auto& line : svg.elements)
      if (line.name == "line" && line["class"].starts_with("boundary") && line.number("y1") < y - 1)
        CHECK((line.number("x1") < left || line.number("x1") > right || line.number("y2") < y - 10));
  }
}

TEST_CASE("the curve of one layer group has the group's colour, and says whose it is") {
  LRCurve c = curve();
  c.ratios = {0, 1, 0};
  const thaw::Figure f = to_figure(c, {.groups = {"stem", "body", "head"}});
  CHECK(f.panels[0].title == "loss, group body alone");
  CHECK((f.panels[0].series[0].color == 1 && f.panels[0].series[1].color == 1));
  for (const thaw::Marker& marker : f.panels[0].markers) CHECK(marker.color != 1);
  c.ratios = {0.1, 1, 1};
  CHECK(to_figure(c, {.groups = {"stem", "body", "head"}}).panels[0].title == "loss");
  CHECK(to_figure(c).panels[0].series[1].color == 0);
}

TEST_CASE("the exploding end does not flatten the rest") {
  const thaw::Axis y = to_figure(curve()).panels[0].y;
  CHECK((*y.lowest > 0.9 && *y.lowest < 1.0));    // raw losses are cut off
  CHECK((*y.highest > 2.3 && *y.highest < 2.4));  // a third of the fall above where it began
}

TEST_CASE("where the loss does not rise again, no room is left for it") {
  LRCurve c = curve();
  for (auto* values : {&c.lr, &c.loss, &c.smoothed}) values->resize(88);
  CHECK(*thaw::detail::loss_axis(c).highest < 2.07);
}

TEST_CASE("a loss that is not finite hides nothing of the others") {
  LRCurve c = curve();
  c.smoothed[0] = c.loss[0] = c.smoothed[99] = c.loss[99] = not_a_number;
  CHECK((*to_figure(c).panels[0].y.highest > 2.3 && *to_figure(c).panels[0].y.highest < 2.4));
  CHECK(Xml{to_svg(c)}.all("polyline", "line").size() == 1);
}

TEST_CASE("a curve that only rises, or stays, is shown whole") {
  CHECK_FALSE(thaw::detail::loss_axis({.lr = {1, 2, 3}, .loss = {1, 2, 9}, .smoothed = {1, 2, 9}}).highest);
  CHECK_FALSE(thaw::detail::loss_axis({.lr = {1, 2}, .loss = {2, 2}, .smoothed = {2, 2}}).highest);
  CHECK_FALSE(thaw::detail::loss_axis(
                  {.lr = {1, 2}, .loss = {not_a_number, not_a_number}, .smoothed = {not_a_number, not_a_number}})
                  .highest);
}

TEST_CASE("curves that hold next to nothing are drawn all the same") {
  CHECK_THAT(to_svg(LRCurve{}), ContainsSubstring("no data to show"));
  CHECK(to_text(LRCurve{}) == "loss by learning rate: no data to show\n");
  const LRCurve gone{.lr = {1e-7, 1e-6},
                     .loss = {not_a_number, not_a_number},
                     .smoothed = {not_a_number, not_a_number},
                     .planned = 100};
  CHECK_THAT(to_svg(gone), ContainsSubstring("no data to show") && !ContainsSubstring("nan"));
  CHECK(to_text(gone) == "loss by learning rate: no data to show\n");

  const LRCurve one{.lr = {1e-7}, .loss = {2}, .smoothed = {2}, .planned = 100};
  CHECK(Xml{to_svg(one)}.all("circle", "dot").size() == 2);
  CHECK_THAT(to_text(one, {.ascii = true}), ContainsSubstring("*"));
}

TEST_CASE("the curve in the terminal") {
  CHECK("\n" + to_text(curve(), {.width = 44, .height = 8}) == R"(
loss
    │                                  ⡇
2.0 ┤⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀                   ⡇
    │              3⠳⡄                 ⡇
    │                ⠈⢦⡀               ⡇
1.5 ┤                  ⠙1              ⡇
    │                   4⠳⣄            ⡇
    │                     ⠈⠳⡄          ⡇
1.0 ┤                       ⠙⠦⠤⠤⠤2⠤⠤⠤5⠤⠇
    └────┬─────────┬─────────┬─────────┬────
       1e-6      1e-4      1e-2        1
                  learning rate
   1 valley 8.3e-4   2 slide 5.8e-2
   3 steep 1.1e-4   4 minimum 1.1e-3
   5 before_rise 3.2e-1 (take)
)");
}

TEST_CASE("the curve in ASCII") {
  CHECK("\n" + to_text(curve(), {.width = 44, .height = 8, .ascii = true}) == R"(
loss
    |                                  *
2.0 +***************                   *
    |              3**                 *
    |                ***               *
1.5 +                  *1              *
    |                   4**            *
    |                     ***          *
1.0 +                       *****2***5**
    +----+---------+---------+---------+----
       1e-6      1e-4      1e-2        1
                  learning rate
   1 valley 8.3e-4   2 slide 5.8e-2
   3 steep 1.1e-4   4 minimum 1.1e-3
   5 before_rise 3.2e-1 (take)
)");
}

TEST_CASE("a curve can be formatted, as the default plot") {
  CHECK(fmt::format("{}", curve()) == to_text(curve()));
}

TEST_CASE("no line is wider than asked for") {
  for (const std::size_t width : {30U, 50U, 100U}) {
    std::string_view text;
    const std::string plot = to_text(curve(), {.width = width});
    for (text = plot; !text.empty(); text.remove_prefix(text.find('\n') + 1))
      CHECK(thaw::detail::display_width(text.substr(0, text.find('\n'))) <= width);
  }
}

TEST_CASE("labels of the rate axis never run into each other") {
  LRCurve c = curve();
  for (std::size_t i = 0; i < 100; ++i) c.lr[i] = 1e-4 * (1 + 7e-5 * static_cast<double>(i));
  CHECK_THAT(to_text(c, {.height = 4}),
             ContainsSubstring("\n1.000e-4          1.002e-4  1.003e-4 "));  // no room for 1.001e-4
}

TEST_CASE("marks in one cell move apart within their column") {
  thaw::detail::TextCanvas canvas{3, 3, /*ascii=*/true};
  for (const char c : {'1', '2', '3', '4'}) canvas.mark({1.5, 0.5}, c);
  canvas.mark({5, 0}, 'x');
  CHECK(canvas.row(0) == " 1");
  CHECK(canvas.row(1) == " 2");
  CHECK(canvas.row(2) == " 3");
}

TEST_CASE("a braille line sets the dots that it crosses") {
  thaw::detail::TextCanvas canvas{2, 1, /*ascii=*/false};
  canvas.line({0, 0.1}, {1.99, 0.1});
  canvas.line({-5, -5}, {9, -5});
  CHECK(canvas.row(0) == "⠉⠉");
}

TEST_CASE("the curve is written to a file") {
  const thaw::test::Folder folder;
  write_svg(curve(), folder / "a.svg");
  CHECK(thaw::test::text_of(folder / "a.svg") == to_svg(curve()));
}
