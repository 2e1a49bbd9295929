// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/heat_map.hpp>

#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>

using thaw::vision::heat_map;

namespace {

const cv::Vec3b viridis_end(253, 231, 37);  // viridis' end, as matplotlib has it

}  // namespace

TEST_CASE("a heat map goes from 0 to its own largest value, at the image's size") {
  const at::Tensor map = at::tensor({0.F, 0.F, 0.F, 0.02F}).reshape({2, 2});
  const cv::Mat image(40, 60, CV_8UC3, cv::Scalar(0, 0, 0));
  const cv::Mat heat = heat_map(image, map, {.opacity = 1});
  REQUIRE(heat.size() == cv::Size(60, 40));
  CHECK(heat.at<cv::Vec3b>(39, 59) == viridis_end);
  CHECK(heat.at<cv::Vec3b>(39, 0) == cv::Vec3b(0, 0, 0));
  // Just below the middle the map is at 0.525 of its largest, where viridis is (31, 150, 139), and so much of that is
  // seen.
  const cv::Vec3b middle = heat.at<cv::Vec3b>(20, 59);
  CHECK(cv::norm(middle, cv::Vec3b(16, 79, 73), cv::NORM_INF) <= 2);
}

TEST_CASE("the image shows through in gray: where the map is 0 all of it, where it is highest as the opacity says") {
  const cv::Mat image(4, 4, CV_8UC3, cv::Scalar(255, 0, 0));  // 76 as gray
  CHECK(heat_map(image, at::zeros({1, 1})).at<cv::Vec3b>(0, 0) == cv::Vec3b(76, 76, 76));
  CHECK(heat_map(image, at::ones({1, 1}), {.opacity = 0.25}).at<cv::Vec3b>(0, 0) == cv::Vec3b(120, 115, 66));
  CHECK(heat_map(image, at::ones({1, 1}), {.opacity = 0}).at<cv::Vec3b>(0, 0) == cv::Vec3b(76, 76, 76));
  CHECK(heat_map(image, at::ones({1, 1}), {.opacity = 1}).at<cv::Vec3b>(0, 0) == viridis_end);
  CHECK_THROWS_AS(heat_map(image, at::zeros({1, 1, 1})), thaw::DataError);
}
