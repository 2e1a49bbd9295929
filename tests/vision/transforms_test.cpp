// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/transforms.hpp>

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <string>

#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/geometry.hpp>
#include <thaw/vision/lighting.hpp>
#include <thaw/vision/resize.hpp>

#include "support/pictures.hpp"

using thaw::test::picture;
using thaw::test::same;
using thaw::vision::Beyond;
using thaw::vision::Random;
using thaw::vision::Sample;
using thaw::vision::Transforms;
using thaw::vision::Warp;

namespace {

struct TurnRight {  // by 90 degrees
  Warp operator()(cv::Size size, Random&) const {
    return {.matrix = {0, -1, size.height - 1.0, 1, 0, 0, 0, 0, 1}, .size = {size.height, size.width}};
  }
};

cv::Mat transformed(const Transforms& transforms, const cv::Mat& image) {
  Sample sample{.image = image};
  Random random(1);
  transforms(sample, random);
  return sample.image;
}

}  // namespace

static_assert(thaw::vision::GeometricTransform<thaw::vision::Resize> &&
              !thaw::vision::PixelTransform<thaw::vision::Resize>);
static_assert(thaw::vision::PixelTransform<thaw::vision::Brightness> &&
              !thaw::vision::SampleTransform<thaw::vision::Brightness>);
static_assert(thaw::vision::SampleTransform<Transforms>);

TEST_CASE("transforms run in order, each of the three kinds, nested or not") {
  std::string seen;
  const auto note = [&seen](const std::string& name) {
    return [&seen, name](Sample& sample, Random&) { seen += name + std::to_string(sample.image.cols) + " "; };
  };
  const Transforms inner{TurnRight{}, note("inner")};
  const Transforms all{note("first"), inner, [](cv::Mat& image, Random&) { cv::bitwise_not(image, image); },
                       note("last")};
  const cv::Mat image = picture(4, 6), before = image.clone();
  cv::Mat expected;
  cv::rotate(image, expected, cv::ROTATE_90_CLOCKWISE);
  cv::bitwise_not(expected, expected);
  CHECK(same(transformed(all, image), expected));
  CHECK(seen == "first6 inner4 last4 ");
  CHECK(same(image, before));
  CHECK(Transforms().empty());
  CHECK_FALSE(all.empty());
}

TEST_CASE(
    "geometric transforms in a row are one: four half turns lose nothing, and what a crop cut off is still there") {
  const cv::Mat image = picture(32, 32);
  const auto turn = [](double degrees) {
    return [degrees](cv::Size size, Random&) -> Warp {
      const double angle = degrees * CV_PI / 180;
      return {.matrix = thaw::vision::about_middle(
                  {std::cos(angle), -std::sin(angle), 0, std::sin(angle), std::cos(angle), 0, 0, 0, 1}, size),
              .size = size,
              .beyond = Beyond::mirrored};
    };
  };
  CHECK(same(transformed({turn(50), turn(-20), turn(-30)}, image), image));
  CHECK(thaw::test::farthest(transformed({turn(50), [](cv::Mat&, Random&) {}, turn(-50)}, image), image) > 20);
  const auto moved = [](double x, int width) {
    return [x, width](cv::Size size, Random&) -> Warp {
      return {.matrix = thaw::vision::translation(x, 0), .size = {width, size.height}};
    };
  };
  CHECK(same(transformed({moved(-8, 8), moved(4, 16)}, image), image(cv::Rect(4, 0, 16, 32))));
}

TEST_CASE("warps with different borders are not joined") {
  const auto outwards = [](Beyond beyond, double color) {
    return [beyond, color](cv::Size size, Random&) -> Warp {
      return {.matrix = thaw::vision::translation(1, 1),
              .size = {size.width + 2, size.height + 2},
              .beyond = beyond,
              .color = cv::Scalar::all(color)};
    };
  };
  const cv::Mat image = picture(4, 4);
  cv::Mat expected;
  cv::copyMakeBorder(image, expected, 1, 1, 1, 1, cv::BORDER_CONSTANT, cv::Scalar::all(5));
  cv::copyMakeBorder(expected, expected, 1, 1, 1, 1, cv::BORDER_REFLECT_101);
  CHECK(same(transformed({outwards(Beyond::color, 5), outwards(Beyond::mirrored, 0)}, image), expected));
  cv::copyMakeBorder(image, expected, 1, 1, 1, 1, cv::BORDER_CONSTANT, cv::Scalar::all(5));
  cv::copyMakeBorder(expected, expected, 1, 1, 1, 1, cv::BORDER_CONSTANT, cv::Scalar::all(6));
  CHECK(same(transformed({outwards(Beyond::color, 5), outwards(Beyond::color, 6)}, image), expected));
  cv::copyMakeBorder(image, expected, 2, 2, 2, 2, cv::BORDER_CONSTANT, cv::Scalar::all(5));
  CHECK(same(transformed({outwards(Beyond::color, 5), TurnRight{}, outwards(Beyond::color, 5)}, image), [&] {
    cv::Mat turned;
    cv::rotate(expected, turned, cv::ROTATE_90_CLOCKWISE);
    return turned;
  }()));
}

TEST_CASE("how many times smaller an image may be read") {
  using thaw::vision::CenterCrop, thaw::vision::Fit, thaw::vision::Flip, thaw::vision::RandomResizedCrop;
  using thaw::vision::Resize;
  const cv::Size photo(500, 375);
  CHECK(Transforms{Resize{128}}.reduction(photo) == 2);
  CHECK(Transforms{Resize{187}}.reduction(photo) == 2);
  CHECK(Transforms{Resize{188}}.reduction(photo) == 1);
  CHECK(Transforms{Resize{64}, Flip{}}.reduction(photo) == 4);
  CHECK(Transforms{Resize{16}}.reduction(photo) == 8);
  CHECK(Transforms{Resize{128}}.reduction({130, 130}) == 1);
  CHECK(Transforms{Resize{.size = 100, .width = 250}}.reduction(photo) == 2);
  CHECK(Transforms{Resize{.size = 150, .fit = Fit::pad}}.reduction(photo) == 2);  // 500 become 150
  CHECK(Transforms{Resize{.size = 150, .fit = Fit::shorter}}.reduction(photo) == 2);
  CHECK(Transforms{Resize{128}, thaw::vision::aug_transforms()}.reduction(photo) == 2);
  // A part may be enlarged: what it looks at must still be there.
  CHECK(Transforms{Resize{128}, thaw::vision::Zoom{.max = 2}}.reduction(photo) == 1);
  CHECK(Transforms{Resize{64}, RandomResizedCrop{.size = 64, .min_scale = 0.25}}.reduction(photo) == 2);
  CHECK(Transforms{Resize{64}, RandomResizedCrop{.size = 64}}.reduction(photo) == 1);
  // Nobody knows what these do, or there is no Resize to begin with.
  CHECK(Transforms{Resize{64}, [](thaw::vision::Sample&, Random&) {}}.reduction(photo) == 1);
  CHECK(Transforms{Resize{64}, [](cv::Size size, Random&) { return thaw::vision::Warp{.size = size}; }}.reduction(
            photo) == 1);
  CHECK(Transforms{Resize{64}, [](cv::Mat&, Random&) {}}.reduction(photo) == 4);
  CHECK(Transforms{CenterCrop{64}, Resize{32}}.reduction(photo) == 1);
  CHECK(Transforms{}.reduction(photo) == 1);
}
