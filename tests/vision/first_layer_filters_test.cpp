// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/first_layer_filters.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/models/efficientnet_lite.hpp>

#include "vision/looks.hpp"

using thaw::vision::first_layer_filters;

TEST_CASE("a filter as an image: 0 is mid-grey, its largest weight, whatever its sign, white or black") {
  torch::nn::Sequential net(torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 2, {1, 2})), torch::nn::Conv2d(2, 4, 3));
  {
    const c10::NoGradGuard no_grad;
    const at::Tensor weight = net->parameters()[0];
    weight.zero_();
    weight[0][0][0][1] = -0.5;
    weight[0][2][0][0] = 0.25;
    weight[1][1][0][0] = 3;
  }
  const auto tiles = first_layer_filters(*net);
  REQUIRE(tiles.size() == 2);
  CHECK(tiles[0].caption == "0");
  CHECK(tiles[1].caption == "1");
  REQUIRE(tiles[0].image.size() == cv::Size(2, 1));
  CHECK(tiles[0].image.at<cv::Vec3b>(0, 0) == cv::Vec3b(128, 128, 191));
  CHECK(tiles[0].image.at<cv::Vec3b>(0, 1) == cv::Vec3b(0, 128, 128));
  CHECK(tiles[1].image.at<cv::Vec3b>(0, 0) == cv::Vec3b(128, 255, 128));
}

TEST_CASE("filters of gray images are gray, and one of zeros is too") {
  torch::nn::Sequential net(torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 1, 2)));
  {
    const c10::NoGradGuard no_grad;
    net->parameters()[0].zero_();
  }
  const auto tiles = first_layer_filters(*net);
  REQUIRE(tiles[0].image.type() == CV_8U);
  CHECK(tiles[0].image.at<unsigned char>(1, 1) == 128);
}

TEST_CASE("the first convolution of a network within a network, and models without one") {
  CHECK(first_layer_filters(*thaw::models::efficientnet_lite0()).size() == 32);
  torch::nn::Sequential many(torch::nn::Conv2d(2, 4, 3)), none(torch::nn::Linear(2, 2));
  CHECK_THROWS_WITH(first_layer_filters(*many), Catch::Matchers::ContainsSubstring("takes 2 channels"));
  CHECK_THROWS_WITH(first_layer_filters(*none), Catch::Matchers::ContainsSubstring("no Conv2d"));
}
