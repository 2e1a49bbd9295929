// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/warp.hpp>

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstdint>
#include <thaw/vision/geometry.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/transforms.hpp>
#include <vector>

#include "support/data.hpp"
#include "support/pictures.hpp"

using thaw::test::farthest;
using thaw::test::picture;
using thaw::test::same;
using thaw::vision::apply;
using thaw::vision::Beyond;
using thaw::vision::Box;
using thaw::vision::moved;
using thaw::vision::Sample;
using thaw::vision::scaling;
using thaw::vision::translation;
using thaw::vision::Warp;
using thaw::vision::warped;

TEST_CASE("a warp to whole pixels moves them as they are") {
  const cv::Mat image = picture(6, 9);
  CHECK(same(warped(image, {.size = image.size()}), image));
  CHECK(same(warped(image, {.matrix = translation(-2, -1), .size = {4, 3}}), image(cv::Rect(2, 1, 4, 3))));
}

TEST_CASE("what lies beyond the edge is mirrored, or one colour") {
  const cv::Mat image = picture(6, 9);
  const cv::Mat mirrored = warped(image, {.matrix = translation(3, 2), .size = {14, 10}, .beyond = Beyond::mirrored});
  cv::Mat expected;
  cv::copyMakeBorder(image, expected, 2, 2, 3, 2, cv::BORDER_REFLECT_101);
  CHECK(same(mirrored, expected));
  const cv::Mat colored =
      warped(image, {.matrix = translation(3, 2), .size = {14, 10}, .beyond = Beyond::color, .color = {9, 8, 7}});
  cv::copyMakeBorder(image, expected, 2, 2, 3, 2, cv::BORDER_CONSTANT, {9, 8, 7});
  CHECK(same(colored, expected));
}

TEST_CASE("shrinking averages all pixels, also under a rotation") {
  cv::Mat image(8, 8, CV_8U);
  for (int i = 0; i < 64; ++i)
    image.at<std::uint8_t>(i / 8, i % 8) = (i / 8 + i % 8) % 2 == 0 ? 0 : 200;  // a chessboard
  const cv::Mat small = warped(image, {.matrix = scaling(0.5, 0.25), .size = {4, 2}});
  CHECK(same(small, thaw::test::plain(2, 4, {100}, CV_8U)));
  const cv::Matx33d turn = thaw::vision::about_middle({0, -1, 0, 1, 0, 0, 0, 0, 1}, {8, 8});
  const cv::Mat turned =
      warped(image, {.matrix = scaling(0.25, 0.25) * turn, .size = {2, 2}, .beyond = Beyond::mirrored});
  CHECK(farthest(turned, thaw::test::plain(2, 2, {100}, CV_8U)) <= 1);
}

TEST_CASE("enlarging is the same as OpenCV's bilinear resize") {
  const cv::Mat image = picture(8, 8);
  cv::Mat expected;
  cv::resize(image, expected, {20, 24}, 0, 0, cv::INTER_LINEAR);
  const cv::Mat large = warped(image, {.matrix = scaling(2.5, 3), .size = {20, 24}, .beyond = Beyond::mirrored});
  CHECK(farthest(large(cv::Rect(2, 2, 16, 20)), expected(cv::Rect(2, 2, 16, 20))) <= 3);  // away from the edge
}

TEST_CASE("mask and keypoints go where the image's pixels go") {
  cv::Mat image = thaw::test::plain(41, 61, {0}, CV_8U);
  cv::circle(image, {20, 15}, 5, 255, cv::FILLED);
  Sample sample{.image = image, .mask = image / 255, .keypoints = {{20, 15}}};
  const Warp warp{
      .matrix = cv::Matx33d(1.1, 0.3, -3, -0.2, 1.3, 6, 1e-3, 2e-3, 1), .size = {70, 50}, .beyond = Beyond::color};
  apply(warp, sample);
  const auto middle = [](const cv::Mat& of) {
    const cv::Moments all = cv::moments(of);
    return cv::Point2d(all.m10 / all.m00, all.m01 / all.m00);
  };
  CHECK(cv::norm(middle(sample.image) - sample.keypoints[0]) < 0.2);
  CHECK(cv::norm(middle(sample.mask == 1) - sample.keypoints[0]) < 0.4);
  CHECK(sample.mask.at<std::uint8_t>(0, 0) == 255);  // beyond the mask
  cv::Mat wrong = (sample.mask == 1) != (sample.image > 127);
  CHECK(cv::countNonZero(wrong) < 12);  // on the edge of a circle of some 120 pixels
}

TEST_CASE("a mask under a warp has its classes, no others") {
  cv::Mat mask(30, 30, CV_8U);
  for (int i = 0; i < 900; ++i) mask.at<std::uint8_t>(i / 30, i % 30) = i / 30 < 15 ? 3 : 200;
  Sample sample{.image = picture(30, 30), .mask = mask};
  apply({.matrix = thaw::vision::about_middle({0.8, 0.4, 0, -0.4, 0.8, 0, 0, 0, 1}, {30, 30}),
         .size = {30, 30},
         .beyond = Beyond::mirrored},
        sample);
  CHECK(cv::countNonZero((sample.mask == 3) | (sample.mask == 200)) == 900);
}

TEST_CASE("boxes are those of torchvision's v2 transforms, clipped; what SanitizeBoundingBoxes drops is dropped") {
  const auto fixture = thaw::test::json_fixture("vision/boxes.json");
  const cv::Matx33d to_edges = translation(0.5, 0.5), from_edges = translation(-0.5, -0.5);
  const auto list = [](const auto& json) {
    std::vector<Box> boxes;
    for (const auto& each : json) boxes.push_back({each[0], each[1], each[2], each[3], std::ssize(boxes)});
    return boxes;
  };
  const std::vector<Box> boxes = list(fixture["boxes"]);
  for (const auto& each : fixture["transforms"]) {
    CAPTURE(each["name"].get<std::string>());
    const auto& m = each["matrix"];
    const Warp warp{.matrix = from_edges * cv::Matx33d(m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8]) * to_edges,
                    .size = {each["size"][0], each["size"][1]}};
    Sample sample{.boxes = boxes};
    apply(warp, sample);
    const std::vector<Box> expected = list(each["boxes"]);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      CAPTURE(i);
      if (!each["kept"][i].get<bool>()) continue;
      REQUIRE(kept < sample.boxes.size());
      const Box& box = sample.boxes[kept++];
      CHECK(box.label == boxes[i].label);
      for (const auto edge : {&Box::x1, &Box::y1, &Box::x2, &Box::y2})
        CHECK(std::abs(box.*edge - expected[i].*edge) < 1e-4);
    }
    CHECK(kept == sample.boxes.size());
  }
}

TEST_CASE("a box lies around what the image's pixels show of it") {
  cv::Mat image = thaw::test::plain(41, 61, {0}, CV_8U);
  image(cv::Rect(20, 10, 12, 8)).setTo(255);
  Sample sample{.image = image, .boxes = {{20, 10, 32, 18, 3}}};
  thaw::vision::Random random(1);
  thaw::vision::Transforms{thaw::vision::Flip{1}, thaw::vision::FlipVertical{1}, thaw::vision::CenterCrop{36, 50},
                           thaw::vision::Resize{72, thaw::vision::Fit::squish, 100}}(sample, random);
  const cv::Rect seen = cv::boundingRect(sample.image > 127);
  REQUIRE(sample.boxes.size() == 1);
  const Box& box = sample.boxes[0];
  CHECK((box.x1 == seen.x && box.y1 == seen.y && box.x2 == seen.x + seen.width && box.y2 == seen.y + seen.height));
  CHECK(box.label == 3);
}
