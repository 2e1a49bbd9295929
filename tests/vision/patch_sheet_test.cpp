// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/patch_sheet.hpp>

#include <ATen/ops/arange.h>
#include <catch2/catch_test_macros.hpp>

using thaw::vision::PatchView;
using thaw::vision::StrongestPatches;

namespace {

const thaw::vision::Normalization as_bytes{{0}, {1}};

/// Two images [1, 16, 16] whose pixels are their columns.
StrongestPatches two_images() {
  const at::Tensor columns = (at::arange(16) / 255.0).expand({2, 1, 16, 16});
  return {.part = "layer1",
          .channels = {{.channel = 12,
                        .patches = {{.sample = 70, .activation = 2.5, .box = {3, 4, 2, 2}, .image = 1},
                                    {.sample = 5, .activation = 1.25, .box = {8, 0, 2, 2}, .image = 0}}}},
          .images = columns};
}

}  // namespace

TEST_CASE("patches are cut out of their images; captions say how strong, and of which sample") {
  const auto tiles = patch_tiles(two_images(), as_bytes);
  REQUIRE(tiles.size() == 2);
  CHECK(tiles[0].caption == "2.50 (70)");
  CHECK(tiles[1].caption == "1.25 (5)");
  REQUIRE(tiles[0].image.size() == cv::Size(2, 2));
  CHECK(tiles[0].image.at<unsigned char>(0, 0) == 3);
  CHECK(tiles[0].image.at<unsigned char>(1, 1) == 4);
  CHECK(tiles[1].image.at<unsigned char>(0, 0) == 8);
}

TEST_CASE("or the whole images, with a frame around the patch") {
  const auto tiles = patch_tiles(two_images(), as_bytes, PatchView::image);
  REQUIRE(tiles[0].image.size() == cv::Size(224, 224));
  const cv::Vec3b frame(213, 94, 0);
  CHECK(tiles[0].image.at<cv::Vec3b>(4 * 14, 4 * 14) == frame);
  CHECK(tiles[0].image.at<cv::Vec3b>(5 * 14, 3 * 14) == frame);
  CHECK(tiles[0].image.at<cv::Vec3b>(5 * 14, 4 * 14) != frame);
  CHECK(tiles[0].image.at<cv::Vec3b>(100, 200)[0] < 20);
}

TEST_CASE("a sheet has a row for each channel") {
  const cv::Mat sheet = patch_sheet(two_images(), as_bytes, PatchView::patch, {.tile = 64, .padding = 8});
  CHECK(sheet.cols > 2 * 72);
  CHECK(sheet.cols < 3 * 72);
  CHECK(sheet.rows < 2 * 72);
  CHECK_FALSE(patch_sheet({}, as_bytes).empty());
}
