// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/geometry.hpp>

#include <opencv2/core.hpp>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

#include <thaw/vision/warp.hpp>

#include "support/data.hpp"
#include "support/pictures.hpp"

using thaw::test::picture;
using thaw::test::same;
using thaw::vision::moved;
using thaw::vision::Random;
using thaw::vision::Warp;

namespace {

/// A seed whose first number is below p or not.
std::uint64_t seed_with(bool below, double p) {
  for (std::uint64_t seed = 0;; ++seed)
    if (Random(seed).chance(p) == below) return seed;
}

}  // namespace

TEST_CASE("flips are exact, and happen as often as they are asked to") {
  const cv::Mat image = picture(5, 8);
  Random random(1);
  cv::Mat expected;
  cv::flip(image, expected, 1);
  CHECK(same(thaw::vision::warped(image, thaw::vision::Flip{.p = 1}(image.size(), random)), expected));
  cv::flip(image, expected, 0);
  CHECK(same(thaw::vision::warped(image, thaw::vision::FlipVertical{.p = 1}(image.size(), random)), expected));
  CHECK(thaw::vision::Flip{.p = 0}(image.size(), random).matrix == cv::Matx33d::eye());
  int flipped = 0;
  for (int i = 0; i < 1000; ++i) flipped += thaw::vision::Flip{}(image.size(), random).matrix(0, 0) < 0 ? 1 : 0;
  CHECK(std::abs(flipped - 500) < 64);
}

TEST_CASE("a dihedral is each of the eight ways to lay a rectangle, exactly") {
  const cv::Mat image = picture(5, 8);
  std::vector<cv::Mat> ways;
  for (const bool transposed : {false, true})
    for (const int flip : {2, 1, 0, -1}) {  // 2: none
      cv::Mat way = image.clone();
      if (transposed) cv::transpose(way, way);
      if (flip != 2) cv::flip(way, way, flip);
      ways.push_back(way);
    }
  std::vector<int> seen(8);
  Random random(1);
  for (int i = 0; i < 400; ++i) {
    const cv::Mat result = thaw::vision::warped(image, thaw::vision::Dihedral{}(image.size(), random));
    for (std::size_t way = 0; way < 8; ++way) seen[way] += same(result, ways[way]) ? 1 : 0;
  }
  CHECK(std::ranges::min(seen) > 20);
  int all = 0;
  for (const int each : seen) all += each;
  CHECK(all == 400);
}

TEST_CASE("a rotation keeps the middle and all distances, and is no larger than it may be") {
  const cv::Size size(31, 21);
  Random random(1);
  double largest = 0;
  for (int i = 0; i < 500; ++i) {
    const Warp warp = thaw::vision::Rotate{.max_degrees = 30, .p = 1}(size, random);
    CHECK(cv::norm(moved(warp.matrix, {15, 10}) - cv::Point2d(15, 10)) < 1e-9);
    const cv::Point2d arm = moved(warp.matrix, {25, 10}) - cv::Point2d(15, 10);
    CHECK(std::abs(cv::norm(arm) - 10) < 1e-9);
    largest = std::max(largest, std::abs(std::atan2(arm.y, arm.x)) * 180 / std::numbers::pi);
  }
  CHECK((largest > 29 && largest <= 30));
}

TEST_CASE("a zoom keeps one point of the image where it is") {
  const cv::Size size(31, 21);
  Random random(2);
  for (int i = 0; i < 100; ++i) {
    const Warp warp = thaw::vision::Zoom{.min = 1.05, .max = 1.5, .p = 1}(size, random);
    const double s = warp.matrix(0, 0), x = warp.matrix(0, 2) / (1 - s), y = warp.matrix(1, 2) / (1 - s);
    CHECK((s >= 1.05 && s <= 1.5));
    CHECK((x >= 0 && x <= 30 && y >= 0 && y <= 20));
  }
}

TEST_CASE("a shift and a shear are no larger than they may be") {
  const cv::Size size(101, 51);
  Random random(3);
  double x = 0, y = 0, shear = 0;
  for (int i = 0; i < 500; ++i) {
    const Warp warp = thaw::vision::Affine{.max_shift = 0.2, .max_shear = 15, .p = 1}(size, random);
    const cv::Point2d middle = moved(warp.matrix, {50, 25});
    x = std::max(x, std::abs(middle.x - 50)), y = std::max(y, std::abs(middle.y - 25));
    shear = std::max(shear, std::abs(std::atan(warp.matrix(0, 1))) * 180 / std::numbers::pi);
  }
  CHECK((x > 19.5 && x <= 20.2));
  CHECK((y > 9.5 && y <= 10.2));
  CHECK((shear > 14.5 && shear <= 15));
}

TEST_CASE("with probability p: untouched otherwise") {
  const cv::Size size(9, 9);
  const auto touched = [&](const auto& transform, bool hit) {
    Random random(seed_with(hit, 0.5));
    return transform(size, random).matrix != cv::Matx33d::eye();
  };
  for (const bool hit : {false, true}) {
    CHECK(touched(thaw::vision::Rotate{.p = 0.5}, hit) == hit);
    CHECK(touched(thaw::vision::Zoom{.p = 0.5}, hit) == hit);
    CHECK(touched(thaw::vision::Affine{.p = 0.5}, hit) == hit);
    CHECK(touched(thaw::vision::Perspective{.p = 0.5}, hit) == hit);
  }
}

TEST_CASE("rotation, zoom and perspective show what fastai's show") {
  const auto golden = thaw::test::json_fixture("vision/fastai.json");
  const int n = golden["size"];
  const auto values = golden["picture"].get<std::vector<float>>();
  cv::Mat image(n, n, CV_32F);
  std::ranges::copy(values, image.ptr<float>());
  const cv::Size size(n, n);
  for (const auto& each : golden["geometry"]) {
    const std::string kind = each["kind"];
    const auto& draws = each["draws"];
    INFO(each["draws"].dump());
    cv::Matx33d matrix;
    if (kind == "rotate") {
      // the same angle, drawn by a range of one value; fastai counts degrees the other way
      const double degrees = draws["degrees"], c = std::cos(degrees * CV_PI / 180), s = std::sin(degrees * CV_PI / 180);
      matrix = thaw::vision::about_middle({c, -s, 0, s, c, 0, 0, 0, 1}, size);
    } else if (kind == "zoom") {
      const double s = draws["zoom"], x = draws["x"].get<double>() * (n - 1), y = draws["y"].get<double>() * (n - 1);
      matrix = thaw::vision::translation(x, y) * cv::Matx33d::diag({s, s, 1}) * thaw::vision::translation(-x, -y);
    } else {
      matrix = thaw::vision::Perspective::matrix(size, draws["x"], draws["y"]);
    }
    const cv::Mat result =
        thaw::vision::warped(image, {.matrix = matrix, .size = size, .beyond = thaw::vision::Beyond::mirrored});
    const auto expected = each["result"].get<std::vector<float>>();
    double worst = 0;
    for (int i = 0; i < n * n; ++i)
      worst = std::max(
          worst, static_cast<double>(std::abs(result.at<float>(i / n, i % n) - expected[static_cast<std::size_t>(i)])));
    CHECK(worst < 2e-3);  // OpenCV rounds places to 1/32 of a pixel, and the picture changes by up to .06 per pixel
  }
}
