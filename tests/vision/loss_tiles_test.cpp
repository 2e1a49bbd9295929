// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/loss_tiles.hpp>

#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <optional>

#include "support/folder.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::SampleLoss;
using thaw::vision::loss_tiles;

namespace {

const std::vector<SampleLoss> two_losses{{.sample = 3, .loss = 2.5, .predicted = 0, .actual = 1, .probability = 0.75},
                                         {.sample = 1, .loss = 0.125}};

}  // namespace

TEST_CASE("top losses of an ImageSource are the images of its list") {
  const thaw::test::Folder folder;
  thaw::vision::ImageList images{.classes = {"cat", "dog"}};
  for (int i = 0; i < 4; ++i) {
    const auto path = folder / (std::to_string(i) + ".png");
    thaw::vision::write_image(cv::Mat(6, 6, CV_8UC3, cv::Scalar::all(10 * i)), path);
    images.items.push_back({.path = path, .labels = {i % 2}});
  }
  const thaw::vision::ImageSource source(
      {.images = images, .normalization = thaw::imagenet_statistics, .batch_size = 3, .shuffle = true, .workers = 0});
  const auto tiles = loss_tiles(two_losses, source);
  REQUIRE(tiles.size() == 2);
  CHECK(tiles[0].caption == "cat\nis dog\n2.50, p 0.75");
  CHECK(tiles[0].right == false);
  CHECK_FALSE(tiles[1].right.has_value());
  CHECK(tiles[0].image.at<cv::Vec3b>(0, 0) == cv::Vec3b(30, 30, 30));
  CHECK(tiles[1].caption == "0.12");
  CHECK(tiles[1].image.at<cv::Vec3b>(0, 0) == cv::Vec3b(10, 10, 10));

  const auto same = loss_tiles(two_losses, source, thaw::imagenet_statistics, images.classes);
  REQUIRE(same.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(same[i].caption == tiles[i].caption);
    CHECK(same[i].image.at<cv::Vec3b>(5, 5) == tiles[i].image.at<cv::Vec3b>(5, 5));
  }
}

TEST_CASE("top losses of tensors in memory, classes by number, a sample twice") {
  const thaw::InMemory source({.input = (at::arange(5) / 255.0).reshape({5, 1, 1, 1}).expand({5, 1, 2, 2}),
                               .target = at::zeros({5}, at::kLong),
                               .batch_size = 2,
                               .shuffle = true});
  const auto tiles = loss_tiles({two_losses[0], two_losses[0], two_losses[1]}, source, {{0}, {1}});
  REQUIRE(tiles.size() == 3);
  CHECK(tiles[0].caption == "0\nis 1\n2.50, p 0.75");
  CHECK(tiles[1].image.at<unsigned char>(1, 1) == 3);
  CHECK(tiles[2].image.at<unsigned char>(0, 0) == 1);
  const auto right = loss_tiles({{.sample = 0, .loss = 0.5, .predicted = 1, .actual = 1, .probability = 0.5}}, source,
                                {{0}, {1}}, {"cat", "dog"});
  CHECK(right.at(0).caption == "dog\nright\n0.50, p 0.50");
  CHECK(right[0].right == true);
  CHECK(loss_tiles({}, source, {{0}, {1}}).empty());
  CHECK_THROWS_AS(loss_tiles(two_losses, std::vector<thaw::Batch>{}, {{0}, {1}}), thaw::DataError);
}

TEST_CASE("images that differ in size from batch to batch are an error, where one of each is asked for") {
  struct Growing : thaw::InMemory {  // batches of two images, of 1 x 1, then 2 x 2, then 3 x 3
    using InMemory::InMemory;
    [[nodiscard]] thaw::BatchStream in_order() const {
      return [side = std::int64_t{0}]() mutable -> std::optional<thaw::Batch> {
        if (++side > 3) return std::nullopt;
        return thaw::Batch{at::zeros({2, 1, side, side}), at::zeros({2}, at::kLong)};
      };
    }
  };
  const Growing source({.input = at::zeros({6, 1, 1, 1}), .target = at::zeros({6}, at::kLong), .batch_size = 2});
  CHECK_THROWS_MATCHES(loss_tiles(two_losses, source, {{0}, {1}}), thaw::DataError,
                       MessageMatches(ContainsSubstring("loss_tiles: images differ in size from batch to batch") &&
                                      ContainsSubstring("bring all to one size")));
  CHECK(loss_tiles({two_losses[0]}, source, {{0}, {1}})[0].image.size() == cv::Size(2, 2));
}
