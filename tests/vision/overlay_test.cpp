// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/overlay.hpp>

#include <opencv2/core.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <cstdlib>

#include "support/pictures.hpp"

using thaw::vision::class_color;
using thaw::vision::overlay;

TEST_CASE("classes are coloured upon the image, background and ignored pixels are not") {
  const cv::Mat image = thaw::test::plain(1, 4, {100, 100, 100}), before = image.clone();
  cv::Mat mask(1, 4, CV_8U);
  mask.at<std::uint8_t>(0) = 0, mask.at<std::uint8_t>(1) = 1, mask.at<std::uint8_t>(2) = 255,
  mask.at<std::uint8_t>(3) = 9;
  const cv::Mat result = overlay(image, mask);
  CHECK(result.at<cv::Vec3b>(0) == cv::Vec3b(100, 100, 100));
  CHECK(result.at<cv::Vec3b>(1) == cv::Vec3b(165, 130, 50));  // (100 + 230) / 2, ...; halves go to the even number
  CHECK(result.at<cv::Vec3b>(2) == cv::Vec3b(100, 100, 100));
  CHECK(result.at<cv::Vec3b>(3) == cv::Vec3b(108, 90, 50));  // class 9: half as light as class 1
  CHECK(thaw::test::same(image, before));
  const thaw::vision::Color zero = class_color(0);
  CHECK(overlay(image, mask, {.opacity = 1, .background = -1}).at<cv::Vec3b>(0) ==
        cv::Vec3b(zero[0], zero[1], zero[2]));
  CHECK(thaw::test::same(overlay(thaw::test::plain(1, 4, {100}, CV_8U), mask), result));
}

TEST_CASE("24 classes have colours that can be told apart") {
  for (std::size_t i = 0; i < 24; ++i)
    for (std::size_t j = 0; j < i; ++j) {
      int apart = 0;
      for (std::size_t c = 0; c < 3; ++c) apart += std::abs(class_color(i)[c] - class_color(j)[c]);
      CAPTURE(i, j);
      CHECK(apart >= 40);
    }
  CHECK(class_color(25) == class_color(1));
}

TEST_CASE("a legend has the colour of each class but the background") {
  const auto legend = thaw::vision::class_legend({"void", "cell", "wall"});
  REQUIRE(legend.size() == 2);
  CHECK((legend[0].name == "cell" && legend[0].color == class_color(1)));
  CHECK((legend[1].name == "wall" && legend[1].color == class_color(2)));
  CHECK(thaw::vision::class_legend({"sky", "road"}, /*background=*/-1).size() == 2);
}

TEST_CASE("an overlay needs an image and a mask of one size, in bytes") {
  const cv::Mat image = thaw::test::picture(4, 4);
  CHECK_THROWS_AS(overlay(image, cv::Mat(3, 4, CV_8U)), thaw::DataError);
  CHECK_THROWS_AS(overlay(image, cv::Mat(4, 4, CV_32S)), thaw::DataError);
  CHECK_THROWS_AS(overlay(cv::Mat(4, 4, CV_16U), cv::Mat(4, 4, CV_8U)), thaw::DataError);
}

TEST_CASE("a mask of 0 and 255 shows its foreground, unless 255 is to be ignored") {
  const cv::Mat image = thaw::test::plain(1, 2, {100, 100, 100});
  cv::Mat mask(1, 2, CV_8U, cv::Scalar(0));
  mask.at<std::uint8_t>(1) = 255;
  const cv::Mat result = overlay(image, mask);
  CHECK(result.at<cv::Vec3b>(0) == cv::Vec3b(100, 100, 100));
  CHECK(result.at<cv::Vec3b>(1) == cv::Vec3b(165, 130, 50));
  CHECK(thaw::test::same(overlay(image, mask, {.ignored = 255}), image));
}
