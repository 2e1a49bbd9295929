// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/mask_data.hpp>

#include <opencv2/core.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "support/data.hpp"
#include "support/image_bytes.hpp"
#include "support/pictures.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::test::Folder;
using thaw::vision::mask_data;
using thaw::vision::MaskData;
using thaw::vision::MaskDataOptions;

namespace {

using Names = std::vector<std::string>;

/// A mask of one row with these values; its image is an empty file, which nobody reads here.
void put(const Folder& folder, const std::string& image, const std::string& mask, const std::vector<int>& values) {
  if (!image.empty()) thaw::test::write_text(folder / image, "");
  cv::Mat row(1, static_cast<int>(values.size()), CV_8U);
  for (int x = 0; x < row.cols; ++x)
    row.at<std::uint8_t>(0, x) = static_cast<std::uint8_t>(values[static_cast<std::size_t>(x)]);
  if (!mask.empty()) thaw::test::write_as_it_is(row, folder / mask);
}

/// One image whose mask has these values.
MaskData of_values(const std::vector<int>& values, const MaskDataOptions& options = {}) {
  const Folder folder;
  put(folder, "images/a.jpg", "masks/a.png", values);
  return mask_data(folder.path, options);
}

void refused(const Folder& folder, const std::string& what, const std::string& fix,
             const MaskDataOptions& options = {}) {
  CHECK_THROWS_MATCHES(mask_data(folder.path, options), thaw::Error,
                       MessageMatches(ContainsSubstring(what) && ContainsSubstring("fix: ") && ContainsSubstring(fix)));
}

}  // namespace

TEST_CASE("images and masks lie in folders of usual names, in any case; each image has the mask of its name") {
  for (const std::string images : {"images", "image", "Imgs"})
    for (const std::string masks : {"masks", "mask", "label", "Labels"}) {
      const Folder folder;
      put(folder, images + "/a.jpg", masks + "/a.png", {0, 255});
      put(folder, images + "/deep/b.jpg", masks + "/deep/b.tif", {0});
      put(folder, images + "/c.png", masks + "/c_mask.bmp", {255});
      const MaskData data = mask_data(folder.path);
      REQUIRE(data.images.size() == 3);
      CHECK(data.images.items[0].mask == folder / (masks + "/a.png"));
      CHECK(data.images.items[1].mask == folder / (masks + "/c_mask.bmp"));
      CHECK(data.images.items[2].mask == folder / (masks + "/deep/b.tif"));
      CHECK(data.how == "3 images in " + images + "/ with masks in " + masks +
                            "/, 2 classes; in masks, 0 is background, 255 is foreground");
    }
}

TEST_CASE("what the values of masks stand for") {
  const MaskData binary = of_values({0, 255});
  CHECK(binary.values == std::vector{0, 255});
  CHECK(binary.images.classes == Names{"background", "foreground"});
  CHECK_FALSE(binary.ignore);

  const MaskData numbers = of_values({2, 0, 1});
  CHECK(numbers.values.empty());
  CHECK(numbers.images.classes == Names{"0", "1", "2"});

  const MaskData sparse = of_values({10, 30, 20});
  CHECK(sparse.values == std::vector{10, 20, 30});
  CHECK(sparse.images.classes == Names{"10", "20", "30"});

  const MaskData with_void = of_values({0, 1, 255});
  CHECK(with_void.values.empty());
  CHECK(with_void.ignore == 255);
  CHECK(with_void.images.classes == Names{"background", "foreground"});
  CHECK_THAT(with_void.how, ContainsSubstring("; 255 in masks counts for no class; in masks, 0 is background"));
}

TEST_CASE("classes that are named get the masks' values in rising order") {
  const MaskData named = of_values({0, 255}, {.classes = {"membrane", "cell"}});
  CHECK(named.values == std::vector{0, 255});
  CHECK(named.images.classes == Names{"membrane", "cell"});
  CHECK_THAT(named.how, ContainsSubstring("in masks, 0 is membrane, 255 is cell"));
  CHECK(of_values({0, 2}, {.classes = {"a", "b", "c"}}).values.empty());  // b is in no mask
  CHECK(of_values({0, 2, 255}, {.classes = {"a", "b", "c"}}).values == std::vector{0, 2, 255});
  const MaskData with_void = of_values({0, 1, 255}, {.classes = {"a", "b"}});
  CHECK(with_void.values.empty());
  CHECK(with_void.ignore == 255);
  CHECK(of_values({0, 9, 5}, {.classes = {"a", "b"}, .values = {5, 0}}).values == std::vector{5, 0});  // not looked at
}

TEST_CASE("images and masks that do not go together") {
  const Folder folder;
  refused(folder, "none of the folders images, image", "put the images into images/");
  put(folder, "images/a.jpg", "masks/a.png", {0, 255});
  put(folder, "images/b.jpg", "", {});
  put(folder, "images/c/d.jpg", "", {});
  refused(folder, "without a mask in masks/: b.jpg, c/d.jpg", "a mask of its name");
  put(folder, "", "masks/b.png", {0}), put(folder, "", "masks/c/d.png", {0}), put(folder, "", "masks/e.png", {0});
  CHECK_THAT(mask_data(folder.path).how, ContainsSubstring("; 1 mask has no image;"));
  put(folder, "images/b.png", "", {});
  refused(folder, "b.png: has the same mask as b.jpg", "leave one of the two images");
  std::filesystem::remove(folder / "images/b.png");
  put(folder, "", "masks/b_label.png", {0});
  refused(folder, "b_label.png: is for the same image as b.png", "leave one of the two masks");
  put(folder, "", "labels/a.png", {0});
  refused(folder, "has labels/ and masks/", "leave one of them");
}

TEST_CASE("values that are not those of classes") {
  const auto refuses = [](const std::vector<int>& values, const MaskDataOptions& options, const std::string& what,
                          const std::string& fix, const std::string& mask = "masks/a.png") {
    const Folder folder;
    put(folder, "images/a.jpg", mask, values);
    refused(folder, what, fix, options);
  };
  refuses({255}, {}, "all masks have the values 255: there is nothing to tell apart", "two values");
  refuses({0, 3, 250}, {.classes = {"a", "b"}}, "masks have the values 0, 3, 250, and there are 2 classes", "lossy");
  refuses({0, 255}, {.classes = {"a", "b", "c"}}, "0, 255, and there are 3 classes", "name a class for each value");
  std::vector<int> many;
  for (int value = 0; value < 130; value += 2) many.push_back(value);
  refuses(many, {}, "masks have the values 0, 2, 4", "come from a lossy file or a resize");
  refuses({0, 60, 120, 180, 240}, {}, "files are JPEGs, which smear them", "mask_nearest", "masks/a.jpg");
  refuses({0, 1}, {.colors = true}, "masks in colours, and no classes", "name the class of each colour");
  refuses({0, 1}, {.classes = {"a"}, .values = {0, 1}}, "2 values and 1 classes", "one value for each class");
}

TEST_CASE("masks as people store them: 30 micrographs, 0 and 255") {
  const MaskData data = mask_data(thaw::test::test_data("membrane"));
  CHECK(data.values == std::vector{0, 255});
  CHECK(data.how ==
        "30 images in image/ with masks in label/, 2 classes; in masks, 0 is background, 255 is foreground");
}

TEST_CASE("masks by a palette are of the places in it, and links that lead nowhere are named") {
  const Folder folder;
  thaw::test::write_text(folder / "images/a.jpg", "");
  const std::string palette("\0\0\0\x80\0\0\0\x80\0", 9);
  thaw::test::write_text(folder / "masks/a.png", thaw::test::png(3, 8, 3, {std::string("\0\1\2", 3)}, palette));
  std::filesystem::create_symlink("none.png", folder / "masks/b.png");
  const MaskData data = mask_data(folder.path);
  CHECK(data.values.empty());
  CHECK(data.images.classes == Names{"0", "1", "2"});
  CHECK_THAT(data.how, ContainsSubstring("masks/b.png: a link that leads nowhere"));
}

TEST_CASE("masks of 0 and 1 beside masks of 0 and 255 are refused: 255 is no class that is ignored") {
  const Folder folder;
  put(folder, "images/a.jpg", "masks/a.png", {0, 1});
  put(folder, "images/b.jpg", "masks/b.png", {0, 255});
  refused(folder, "some masks are of 0 and 1, and others of 0 and 255", "write all in one way");
  refused(folder, "some masks are of 0 and 1", "mask_ignore", {.classes = {"back", "cell"}});
  put(folder, "images/c.jpg", "masks/c.png", {0, 1, 255});
  CHECK(mask_data(folder.path).ignore == 255);
}
