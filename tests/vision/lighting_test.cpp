// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/lighting.hpp>

#include <opencv2/core.hpp>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "support/data.hpp"
#include "support/pictures.hpp"

using thaw::test::farthest;
using thaw::test::picture;
using thaw::test::same;
using thaw::vision::Brightness;
using thaw::vision::ColorJitter;
using thaw::vision::Contrast;
using thaw::vision::Random;

TEST_CASE("brightness and contrast are fastai's, on bytes, 16 bits and floats") {
  const auto golden = thaw::test::json_fixture("vision/fastai.json");
  for (const auto& each : golden["lighting"]) {
    const auto expected = each["result"].get<std::vector<double>>();
    const double change = each["change"];
    const bool brightness = each["kind"] == "brightness";
    for (const int depth : {CV_8U, CV_16U, CV_32F}) {
      const double most = thaw::vision::detail::largest(depth);
      cv::Mat values(1, 256, CV_64F), image;
      for (int i = 0; i < 256; ++i) values.at<double>(i) = i / 255.0;
      values.convertTo(image, depth, most);
      brightness ? Brightness::shift(image, change) : Contrast::scale(image, change);
      cv::Mat result;
      image.convertTo(result, CV_64F, 1 / most);
      double worst = 0;
      for (int i = 0; i < 256; ++i)
        worst = std::max(worst, std::abs(result.at<double>(i) - expected[static_cast<std::size_t>(i)]));
      CHECK(worst < (depth == CV_8U ? 0.5001 / 255 : depth == CV_16U ? 1e-5 : 2e-6));
    }
  }
}

TEST_CASE("jitter's four changes are torchvision's") {
  const auto golden = thaw::test::json_fixture("vision/torchvision.json");
  const auto image_of = [](const nlohmann::json& planes) {
    const auto values = planes.get<std::vector<std::uint8_t>>();
    cv::Mat image(6, 8, CV_8UC3);
    for (int i = 0; i < 48; ++i)
      for (int c = 0; c < 3; ++c) image.at<cv::Vec3b>(i / 8, i % 8)[c] = values[static_cast<std::size_t>(48 * c + i)];
    return image;
  };
  for (const auto& each : golden["jitter"]) {
    cv::Mat image = image_of(golden["colors"]);
    const std::string kind = each["kind"];
    const double factor = each["factor"];
    if (kind == "brightness") ColorJitter::adjust_brightness(image, factor);
    if (kind == "contrast") ColorJitter::adjust_contrast(image, factor);
    if (kind == "saturation") ColorJitter::adjust_saturation(image, factor);
    if (kind == "hue") ColorJitter::adjust_hue(image, factor);
    INFO(kind << " " << factor);
    CHECK(farthest(image, image_of(each["result"])) <= 2);  // torchvision cuts fractions off, in several places
  }
}

TEST_CASE("changes are drawn from the ranges that are named, or not at all") {
  const cv::Mat image = picture(4, 4), gray = thaw::test::plain(1, 1, {100}, CV_8U);
  Random random(1);
  int lighter = 0, untouched = 0;
  double least = 255, most = 0;
  for (int i = 0; i < 1000; ++i) {
    cv::Mat changed = gray;
    Brightness{.p = 0.5}(changed, random);
    untouched += changed.data == gray.data ? 1 : 0;
    lighter += changed.at<std::uint8_t>(0) > 100 ? 1 : 0;
    least = std::min<double>(least, changed.at<std::uint8_t>(0)),
    most = std::max<double>(most, changed.at<std::uint8_t>(0));
  }
  CHECK(std::abs(untouched - 500) < 64);
  CHECK(std::abs(lighter - 250) < 60);
  // logit(100 / 255) -+ logit(.6)
  CHECK((least == 77 || least == 78));
  CHECK((most == 126 || most == 125));
  CHECK(same(image, picture(4, 4)));

  for (const auto& [jitter, changes] :
       std::vector<std::pair<ColorJitter, bool>>{{{.brightness = 0.4}, true},
                                                 {{.contrast = 0.4}, true},
                                                 {{.saturation = 0.4}, true},
                                                 {{.hue = 0.2}, true},
                                                 {{}, false},
                                                 {{.brightness = 0.4, .p = 0}, false}}) {
    cv::Mat changed = image;
    jitter(changed, random);
    CHECK(same(changed, image) != changes);
  }
}

TEST_CASE("alpha stays as it is, gray has no hue, pixels that are shared are not written to") {
  cv::Mat rgba(3, 3, CV_8UC4, cv::Scalar(10, 100, 200, 77)), before = rgba.clone();
  cv::Mat changed = rgba;
  ColorJitter::adjust_brightness(changed, 1.2);
  ColorJitter::adjust_hue(changed, 0.3);
  CHECK(changed.at<cv::Vec4b>(1, 1)[3] == 77);
  CHECK(changed.at<cv::Vec4b>(1, 1)[0] != 12);
  CHECK(same(rgba, before));
  cv::Mat gray = thaw::test::plain(2, 2, {50}, CV_8U);
  ColorJitter::adjust_hue(gray, 0.3);
  ColorJitter::adjust_saturation(gray, 0.3);
  CHECK(same(gray, thaw::test::plain(2, 2, {50}, CV_8U)));
}

TEST_CASE("a blur spreads a point and keeps the sum") {
  cv::Mat image = thaw::test::plain(21, 21, {0}, CV_32F);
  image.at<float>(10, 10) = 1;
  cv::Mat blurred = image;
  Random random(1);
  thaw::vision::GaussianBlur{.min_sigma = 1.5, .max_sigma = 1.5, .p = 1}(blurred, random);
  CHECK(std::abs(cv::sum(blurred)[0] - 1) < 1e-5);
  CHECK(std::abs(blurred.at<float>(10, 10) - 1 / (2 * CV_PI * 1.5 * 1.5)) < 2e-3);
  CHECK(image.at<float>(10, 10) == 1);
}
