// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/resize.hpp>

#include <opencv2/core.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>

#include "support/pictures.hpp"

using thaw::test::same;
using thaw::vision::Beyond;
using thaw::vision::Fit;
using thaw::vision::Random;
using thaw::vision::RandomResizedCrop;
using thaw::vision::Resize;
using thaw::vision::Warp;

namespace {

cv::Mat resized(const Resize& how, const cv::Mat& image) {
  Random random(1);
  return thaw::vision::warped(image, how({image.cols, image.rows}, random));
}

/// Each pixel of a small image as a block of 4 x 4.
cv::Mat blocks(const cv::Mat& small) {
  cv::Mat large;
  cv::resize(small, large, {}, 4, 4, cv::INTER_NEAREST);
  return large;
}

}  // namespace

TEST_CASE("each way to fit an image of another shape") {
  const cv::Mat small = thaw::test::picture(3, 5), image = blocks(small);
  CHECK(same(resized({.size = 3, .fit = Fit::squish, .width = 5}, image), small));
  CHECK(same(resized({.size = 3, .fit = Fit::shorter}, image), small));
  CHECK(same(resized({.size = 3}, image), small.colRange(1, 4)));
  const cv::Mat padded = resized({.size = 5, .fit = Fit::pad, .color = {1, 2, 3}}, image);
  CHECK(same(padded.rowRange(1, 4), small));
  CHECK(same(padded.row(0), thaw::test::plain(1, 5, {1, 2, 3})));
  CHECK(same(padded.row(4), thaw::test::plain(1, 5, {1, 2, 3})));
  const cv::Mat mirrored = resized({.size = 5, .fit = Fit::pad, .beyond = Beyond::mirrored}, image);
  CHECK(thaw::test::farthest(mirrored.row(0), small.row(1)) <= 1);
  CHECK(resized({.size = 2, .fit = Fit::squish}, image).size() == cv::Size(2, 2));
}

TEST_CASE("sizes that do not divide come out whole, with nothing from beyond the edge") {
  for (const int height : {7, 100, 333})
    for (const int width : {5, 64, 200})
      for (const Fit fit : {Fit::crop, Fit::squish, Fit::shorter}) {
        const cv::Mat white = thaw::test::plain(height, width, {250}, CV_8U);
        const cv::Mat result = resized({.size = 48, .fit = fit}, white);
        INFO(height << " x " << width);
        CHECK(same(result, thaw::test::plain(result.rows, result.cols, {250}, CV_8U)));
        if (fit == Fit::shorter)
          CHECK(std::min(result.rows, result.cols) == 48);
        else
          CHECK(result.size() == cv::Size(48, 48));
      }
}

TEST_CASE("crops have the pixels that they name") {
  const cv::Mat image = thaw::test::picture(9, 12);
  Random random(1);
  CHECK(same(thaw::vision::warped(image, thaw::vision::CenterCrop{.size = 5}(image.size(), random)),
             image(cv::Rect(3, 2, 5, 5))));
  bool first = false, last = false;
  for (int i = 0; i < 200; ++i) {
    const Warp warp = thaw::vision::RandomCrop{.size = 8}(image.size(), random);
    const auto x = static_cast<int>(-warp.matrix(0, 2)), y = static_cast<int>(-warp.matrix(1, 2));
    REQUIRE((x >= 0 && x <= 4 && y >= 0 && y <= 1));
    first = first || (x == 0 && y == 0), last = last || (x == 4 && y == 1);
    CHECK(same(thaw::vision::warped(image, warp), image(cv::Rect(x, y, 8, 8))));
  }
  CHECK((first && last));
  const Warp larger = thaw::vision::RandomCrop{.size = 14}(image.size(), random);
  CHECK(same(thaw::vision::warped(image, larger)(cv::Rect(1, 3, 12, 9)), image));
  double least = 0;
  for (int i = 0; i < 100; ++i)
    least = std::min(least, -thaw::vision::RandomCrop{.size = 8, .padding = 2}(image.size(), random).matrix(0, 2));
  CHECK(least == -2);
}

TEST_CASE("a random part has an area and proportions as asked for, and is shown whole") {
  Random random(1);
  const RandomResizedCrop crop{.size = 16, .min_scale = 0.2, .max_scale = 0.5};
  double least = 1, most = 0;
  for (int i = 0; i < 2000; ++i) {
    const cv::Rect part = crop.choose({120, 100}, random);
    CHECK((part & cv::Rect(0, 0, 120, 100)) == part);
    const double scale = part.area() / 12000.0, ratio = static_cast<double>(part.width) / part.height;
    least = std::min(least, scale), most = std::max(most, scale);
    CHECK((ratio > 0.72 && ratio < 1.38));
  }
  CHECK((least > 0.19 && least < 0.22));
  CHECK((most < 0.51 && most > 0.48));
  CHECK(RandomResizedCrop{.min_scale = 1, .min_ratio = 3, .max_ratio = 4}.choose({90, 90}, random) ==
        cv::Rect(0, 30, 90, 30));

  const cv::Mat image = thaw::test::picture(40, 40);
  Random one(7), other(7);
  const cv::Rect part = crop.choose(image.size(), one);
  const cv::Mat shown = thaw::vision::warped(image, crop(image.size(), other));
  CHECK(shown.size() == cv::Size(16, 16));
  cv::Mat expected;
  cv::resize(image(part), expected, {16, 16}, 0, 0, cv::INTER_AREA);
  CHECK(cv::norm(shown, expected, cv::NORM_L1) / (3 * 16 * 16) < 4);  // a mean of 4 of 255
}
