// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/report/detail/place_labels.hpp>

#include <catch2/catch_test_macros.hpp>
#include <random>

using namespace thaw::detail;

TEST_CASE("labels stay inside and off each other and all anchors, wherever these are") {
  std::mt19937 random{3};
  const Box within{50, 20, 650, 320};
  std::uniform_real_distribution<double> x{within.left, within.right}, y{within.top, within.bottom}, near{-4, 4};
  for (int round = 0; round < 40; ++round) {
    std::vector<Point> anchors;
    const Point cluster{x(random), y(random)};
    for (int i = 0; i < 8; ++i)  // half of them crowded
      anchors.push_back(i % 2 == 0 ? Point{x(random), y(random)}
                                   : Point{cluster.x + near(random), cluster.y + near(random)});
    for (Point& a : anchors) a = within.nearest_to(a);
    const std::vector<double> widths(anchors.size(), 110);
    const std::vector<Box> boxes = place_labels(anchors, widths, 16, within, anchors);
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      CHECK((boxes[i].left >= within.left && boxes[i].right <= within.right));
      CHECK((boxes[i].top >= within.top && boxes[i].bottom <= within.bottom));
      for (std::size_t j = 0; j < i; ++j) CHECK_FALSE(boxes[i].overlaps(boxes[j]));
      for (const Point& anchor : anchors) CHECK_FALSE(boxes[i].grown(4).holds(anchor));
    }
  }
}

TEST_CASE("a label stands next to its anchor, on the side that hides no line") {
  const Box within{0, 0, 400, 200};
  const std::vector<Point> anchor{{200, 100}}, ends{{0, 0}, {200, 100}, {400, 0}};
  const std::vector<double> width{60};
  const std::vector<Point> line = sampled(ends, 4);
  const Box box = place_labels(anchor, width, 16, within, line)[0];
  CHECK(distance(anchor[0], box.nearest_to(anchor[0])) < 14);
  for (const Point& p : line) CHECK_FALSE(box.holds(p));
}

TEST_CASE("a label that fits nowhere is still placed") {
  const std::vector<Point> anchor{{5, 5}};
  const std::vector<double> width{100};
  CHECK(place_labels(anchor, width, 16, {0, 0, 10, 10}, {}).size() == 1);
}

TEST_CASE("samples of a line are close to each other and end where it ends") {
  const std::vector<Point> line{{0, 0}, {30, 40}, {30, 40}};
  const std::vector<Point> samples = sampled(line, 7);
  for (std::size_t i = 1; i < samples.size(); ++i) CHECK(distance(samples[i - 1], samples[i]) <= 7);
  CHECK(samples.front().x == 0);
  CHECK(samples.back().x == 30);
  CHECK(sampled({}, 1).empty());
}
