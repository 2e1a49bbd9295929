// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/random_erasing.hpp>

#include <opencv2/core.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "support/pictures.hpp"

using thaw::vision::Random;
using thaw::vision::RandomErasing;

TEST_CASE("rectangles are erased: within the area that is named, in one colour, and nothing else") {
  const cv::Mat image = thaw::test::plain(40, 50, {1, 1, 1});
  Random random(1);
  int most = 0, touched = 0;
  for (int i = 0; i < 1000; ++i) {
    cv::Mat erased = image;
    RandomErasing{.max_area = 0.2, .max_count = 2, .color = {7, 8, 9}}(erased, random);
    cv::Mat changed;
    cv::inRange(erased, cv::Scalar(7, 8, 9), cv::Scalar(7, 8, 9), changed);
    cv::Mat kept;
    cv::inRange(erased, cv::Scalar(1, 1, 1), cv::Scalar(1, 1, 1), kept);
    CHECK(cv::countNonZero(changed) + cv::countNonZero(kept) == 2000);
    most = std::max(most, cv::countNonZero(changed));
    touched += erased.data != image.data ? 1 : 0;
  }
  CHECK(std::abs(touched - 500) < 64);
  CHECK((most > 300 && most < 460));  // sides are rounded to even lengths
  CHECK(thaw::test::same(image, thaw::test::plain(40, 50, {1, 1, 1})));
}

TEST_CASE("an erased rectangle has proportions as asked for, and may be cut off at an edge") {
  Random random(2);
  bool at_edge = false;
  for (int i = 0; i < 1000; ++i) {
    const cv::Rect part = RandomErasing{.min_area = 0.1, .max_area = 0.1}.choose({1000, 1000}, 1, random);
    CHECK((part & cv::Rect(0, 0, 1000, 1000)) == part);
    if (part.x == 0 || part.y == 0 || part.br().x == 1000 || part.br().y == 1000) {
      at_edge = true;
      continue;
    }
    const double ratio = static_cast<double>(part.height) / part.width;
    CHECK((ratio > 0.29 && ratio < 3.4));
    CHECK(std::abs(part.area() - 100000) < 2000);
  }
  CHECK(at_edge);
}
