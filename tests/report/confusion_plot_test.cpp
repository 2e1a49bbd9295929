// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/confusion_plot.hpp>

#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <catch2/catch_test_macros.hpp>

#include "report/xml.hpp"
#include "support/folder.hpp"

using thaw::ConfusionMatrix;
using thaw::test::Xml;

namespace {

/// Of 16 of class "a" one is taken for "<b>"; "<b>" is always right.
ConfusionMatrix two_classes() {
  at::Tensor predicted = at::arange(20, at::kLong).ge(15).to(at::kLong),
             actual = at::arange(20, at::kLong).ge(16).to(at::kLong);
  return {predicted, actual, {.classes = {"a", "<b>"}}};
}

}  // namespace

TEST_CASE("a confusion matrix as SVG: a cell for each count, as strong as the root of its share of the row") {
  const Xml svg(to_svg(two_classes()));
  const auto cells = svg.all("rect", "cell");
  REQUIRE(cells.size() == 3);  // none for 0
  CHECK(cells[0]["fill-opacity"] == "0.97");
  CHECK(cells[1]["fill-opacity"] == "0.25");  // a sixteenth
  CHECK(cells[2]["fill-opacity"] == "1.00");
  CHECK(cells[0].number("x") + cells[0].number("width") == cells[1].number("x"));
  CHECK(cells[0].number("y") == cells[1].number("y"));
  CHECK(cells[0].number("y") + cells[0].number("height") == cells[2].number("y"));
  CHECK(svg.all("g", "right").size() == 2);  // right
  CHECK(svg.all("g", "wrong").size() == 1);
  CHECK(svg.texts("count") == std::vector<std::string>{"15", "1", "4"});
  CHECK(svg.texts("tick") == std::vector<std::string>{"a", "a", "&lt;b&gt;", "&lt;b&gt;"});
  CHECK(svg.all("title")[2].text == "a as &lt;b&gt;: 1 (6.2 %)");
}

TEST_CASE("shares in place of counts") {
  const Xml svg(to_svg(two_classes(), {.shares = true}));
  CHECK(svg.texts("count") == std::vector<std::string>{"94", "6", "100"});
}

TEST_CASE("long names of columns stand upright, within the picture") {
  const ConfusionMatrix matrix(at::arange(2, at::kLong), at::arange(2, at::kLong),
                               {.classes = {"a rather long name", "another, which is cut off"}});
  const Xml svg(to_svg(matrix));
  const auto ticks = svg.all("text", "tick");
  REQUIRE(ticks.size() == 4);
  CHECK(ticks[1]["transform"].ends_with("rotate(-90)"));
  CHECK(ticks[2].text == "another, which is ..");
  const double widest = thaw::detail::text_width("another, which is ..");
  CHECK(ticks[2].number("x") >= widest);
  const auto cells = svg.all("rect", "cell");
  CHECK(cells[1].number("y") + cells[1].number("height") + 6 + widest < svg.elements[0].number("height"));
}

TEST_CASE("up to 48 classes each have a label and a square cell; numbers where all of them fit") {
  const auto drawn = [](std::int64_t classes, std::int64_t times) {
    const at::Tensor each = at::arange(classes * times, at::kLong).remainder(classes);
    return Xml(to_svg(ConfusionMatrix(each, each)));
  };
  for (const std::int64_t classes : {2, 10, 40, 48}) {
    const Xml svg = drawn(classes, 1);
    CHECK(svg.texts(classes > 10 ? "tick small" : "tick").size() == static_cast<std::size_t>(2 * classes));
    for (const auto& cell : svg.all("rect", "cell")) {
      CHECK(cell.number("width") == cell.number("height"));
      CHECK((cell.number("width") >= 14 && cell.number("width") <= 64));
    }
    CHECK(svg.texts("count").size() == static_cast<std::size_t>(classes));
  }
  CHECK(drawn(40, 100).texts("count").empty());  // "100" does not fit
  CHECK(drawn(10, 100).texts("count").size() == 10);
  CHECK(drawn(40, 1).all("line", "grid").size() == 80);
  CHECK(drawn(49, 1).all("line", "grid").empty());
}

TEST_CASE("a thousand classes: small cells without numbers, labels as there is room, nothing for what is 0") {
  const at::Tensor classes = at::arange(1000, at::kLong);
  const Xml svg(to_svg(ConfusionMatrix(classes, classes)));
  CHECK(svg.all("rect", "cell").size() == 1000);
  CHECK(svg.texts("count").empty());
  const auto labels = svg.texts("tick small");
  CHECK(labels.size() == 2 * 143);  // every seventh, 14 px apart
  CHECK(svg.elements[0].number("height") > 2000);
}

TEST_CASE("an empty matrix is a picture without cells; the title is told to screen readers; a file holds it") {
  CHECK(Xml(to_svg(ConfusionMatrix())).all("rect", "cell").empty());
  CHECK(Xml(to_svg(two_classes(), {.title = "of two"})).elements[1].text == "of two");
  const thaw::test::Folder folder;
  write_svg(two_classes(), folder / "matrix.svg");
  CHECK(thaw::test::text_of(folder / "matrix.svg") == to_svg(two_classes()));
}
