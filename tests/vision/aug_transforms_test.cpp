// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/aug_transforms.hpp>

#include <opencv2/core.hpp>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <vector>

#include "support/pictures.hpp"

using thaw::test::farthest;
using thaw::vision::AugOptions;
using thaw::vision::Random;
using thaw::vision::Sample;

namespace {

/// The largest change to an image of one colour, and to one of many, over many draws.
struct Changes {
  double of_values = 0, of_places = 0;
};

Changes changes(const AugOptions& options) {
  const cv::Mat plain = thaw::test::plain(24, 24, {128, 128, 128}), image = thaw::test::picture(24, 24);
  Changes result;
  Random random(1);
  const auto augment = thaw::vision::aug_transforms(options);
  for (int i = 0; i < 200; ++i) {
    Sample one{.image = plain}, other{.image = image};
    augment(one, random);
    augment(other, random);
    CHECK(one.image.size() == plain.size());
    result.of_values = std::max(result.of_values, farthest(one.image, plain));
    result.of_places = std::max(result.of_places, farthest(other.image, image));
  }
  return result;
}

/// How many different images 200 draws make of one.
std::size_t ways(const AugOptions& options) {
  const cv::Mat image = thaw::test::picture(24, 24);
  Random random(1);
  const auto augment = thaw::vision::aug_transforms(options);
  std::vector<cv::Mat> seen;
  for (int i = 0; i < 200; ++i) {
    Sample one{.image = image};
    augment(one, random);
    if (std::ranges::none_of(seen, [&](const cv::Mat& each) { return thaw::test::same(each, one.image); }))
      seen.push_back(one.image.clone());
  }
  return seen.size();
}

}  // namespace

TEST_CASE("augmentation changes what it is asked to change") {
  const Changes all = changes({});
  // 128 / 255 under fastai's largest contrast and brightness, 1.25 and logit(.6)
  CHECK((all.of_values > 20 && all.of_values < 34));
  CHECK(all.of_places > 100);
  const Changes none = changes({.flip = false, .max_rotate = 0, .max_zoom = 1, .max_lighting = 0, .max_warp = 0});
  CHECK(none.of_values == 0);
  CHECK(none.of_places == 0);
  CHECK(changes({.mult = 0, .flip = false, .max_zoom = 1}).of_places == 0);
  const AugOptions still{.flip = false, .max_rotate = 0, .max_zoom = 1, .max_lighting = 0, .max_warp = 0};
  const auto with = [&](auto change) {
    AugOptions options = still;
    change(options);
    return changes(options);
  };
  CHECK(with([](AugOptions& o) { o.flip = true; }).of_places > 0);
  CHECK(with([](AugOptions& o) { o.max_rotate = 5; }).of_places > 0);
  CHECK(with([](AugOptions& o) { o.max_zoom = 1.1; }).of_places > 0);
  CHECK(with([](AugOptions& o) { o.max_warp = 0.1; }).of_places > 0);
  CHECK(with([](AugOptions& o) { o.max_lighting = 0.1; }).of_values > 0);
  CHECK(with([](AugOptions& o) { o.flip_vertical = true; }).of_places == 0);  // only with flip
}

TEST_CASE("flips make two images of one, with vertical ones all eight ways to lay a square") {
  AugOptions options{.flip = false, .max_rotate = 0, .max_zoom = 1, .max_lighting = 0, .max_warp = 0};
  CHECK(ways(options) == 1);
  options.flip = true;
  CHECK(ways(options) == 2);
  options.flip_vertical = true;
  CHECK(ways(options) == 8);
}
