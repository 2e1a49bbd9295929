// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/normalization.hpp>

#include <opencv2/core.hpp>

#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <cstdint>

#include "support/pictures.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::vision::Normalization;
using thaw::vision::to_image;
using thaw::vision::to_tensor;

TEST_CASE("a network's input is (x / 255 - mean) / std, channels first") {
  const cv::Mat image = thaw::test::picture(3, 5);
  const at::Tensor x = to_tensor(image, thaw::imagenet_statistics);
  REQUIRE(x.sizes() == at::IntArrayRef({3, 3, 5}));
  for (int c = 0; c < 3; ++c)
    for (int i = 0; i < 15; ++i) {
      const double v = image.at<cv::Vec3b>(i / 5, i % 5)[c] / 255.0;
      const auto k = static_cast<std::size_t>(c);
      const double expected = (v - thaw::imagenet_statistics.mean[k]) / thaw::imagenet_statistics.std[k];
      CHECK(std::abs(x[c][i / 5][i % 5].item<double>() - expected) < 1e-6);
    }
}

TEST_CASE("16 bits and floats are the same values; one and four channels have statistics of their own") {
  cv::Mat bytes = thaw::test::plain(2, 2, {51}, CV_8U), deep = thaw::test::plain(2, 2, {13107}, CV_16U),
          floats = thaw::test::plain(2, 2, {0.2}, CV_32F);
  const Normalization gray{{0.1}, {0.5}};
  for (const cv::Mat& each : {bytes, deep, floats})
    CHECK(std::abs(to_tensor(each, gray)[0][0][0].item<double>() - 0.2) < 1e-6);
  CHECK(to_tensor(cv::Mat(2, 2, CV_8UC4), {{0, 0, 0, 0}, {1, 1, 1, 1}}).size(0) == 4);
}

TEST_CASE("the image that a network sees comes back from its input") {
  const cv::Mat image = thaw::test::picture(6, 4);
  CHECK(thaw::test::same(to_image(to_tensor(image, thaw::imagenet_statistics), thaw::imagenet_statistics), image));
  const cv::Mat part = image.colRange(1, 3);  // its rows lie apart
  CHECK(thaw::test::same(to_image(to_tensor(part, thaw::lite_statistics), thaw::lite_statistics), part.clone()));
  CHECK(to_image(at::zeros({1, 2, 3}) + 9, {{0.5}, {0.5}}).at<std::uint8_t>(1, 1) == 255);
}

TEST_CASE("statistics that do not fit are refused") {
  const cv::Mat image = thaw::test::picture(2, 2);
  const auto refused = [&](const Normalization& normalization, const char* what) {
    CHECK_THROWS_MATCHES(to_tensor(image, normalization), thaw::ConfigError, MessageMatches(ContainsSubstring(what)));
  };
  refused({}, "it is not said what the network expects");
  refused({{0.5}, {0.5}}, "1 means and 1 deviations for 3 channels");
  refused({{0, 0, 0}, {1, 0, 1}}, "cannot be divided by");
  refused({{0, NAN, 0}, {1, 1, 1}}, "cannot be divided by");
  CHECK_THROWS_AS(to_image(at::rand({2, 3, 4}), thaw::imagenet_statistics), thaw::DataError);
  CHECK_THROWS_AS(to_image(at::rand({3, 4}), thaw::imagenet_statistics), thaw::DataError);
}
