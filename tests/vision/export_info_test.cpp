// SPDX-License-Identifier: BSD-3-Clause
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <string>
#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/export_info.hpp>
#include <thaw/vision/write_image.hpp>
#include <utility>

#include "support/folder.hpp"
#include "support/pictures.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::test::Folder;
using thaw::vision::Fit;
using thaw::vision::ImageSource;
using thaw::vision::ImageSourceOptions;
using thaw::vision::Resize;
using thaw::vision::Transforms;

namespace {

ImageSourceOptions one_image(const Folder& folder, Transforms transforms) {
  const auto png = folder / "a.png";
  thaw::vision::write_image(thaw::test::picture(50, 40), png);
  return {.images = {.classes = {"a", "b"}, .items = {{.path = png, .labels = {1}}}},
          .transforms = std::move(transforms),
          .normalization = thaw::imagenet_statistics};
}

std::string refused(ImageSourceOptions options) {
  try {
    (void)thaw::vision::export_info("net", ImageSource(std::move(options)));
  } catch (const thaw::ConfigError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("An export says how its source brings images to their size, and gives such a source back") {
  const Folder folder;
  for (const auto& [fit, name] : {std::pair{Fit::crop, ""}, {Fit::squish, "squish"}, {Fit::pad, "pad"}}) {
    ImageSourceOptions options = one_image(folder, {Resize{.size = 48, .fit = fit}});
    options.scaled_decoding = fit == Fit::pad;
    options.orientation = thaw::vision::Orientation::stored;
    const thaw::ExportInfo info = thaw::vision::export_info("net", ImageSource(options));
    CHECK(info.model == "net");
    CHECK(info.classes == options.images.classes);
    CHECK(info.image_size == 48);
    CHECK(info.mean == options.normalization.mean);
    CHECK(info.std == options.normalization.std);
    CHECK((info.options.contains("fit") ? info.options.at("fit") : "") == name);
    ImageSourceOptions back = thaw::vision::prepared_as(info);
    CHECK(back.scaled_decoding == options.scaled_decoding);
    CHECK(back.orientation == options.orientation);
    CHECK(back.normalization.std == options.normalization.std);
    back.images = options.images;
    CHECK(thaw::test::same(ImageSource(back).sample(0).image, ImageSource(options).sample(0).image));
  }
}

TEST_CASE("A source that augments, or prepares images otherwise, has no export") {
  const Folder folder;
  const auto transforms_refused = [&](Transforms transforms) {
    return refused(one_image(folder, std::move(transforms)));
  };
  const auto not_one_resize = ContainsSubstring("transforms are not one Resize to a square");
  CHECK_THAT(transforms_refused({Resize{32}, thaw::vision::aug_transforms()}), not_one_resize);
  CHECK_THAT(transforms_refused({Resize{32},
                                 [](cv::Mat& image, thaw::vision::Random& random) {
                                   if (random.chance(0.3)) cv::flip(image, image, 1);
                                 }}),
             not_one_resize);
  CHECK_THAT(transforms_refused({Resize{.size = 32, .width = 48}}), not_one_resize);
  CHECK_THAT(transforms_refused({Resize{40}, thaw::vision::CenterCrop{32}}), not_one_resize);
  CHECK_THAT(transforms_refused({Resize{32}, [](cv::Mat& image, thaw::vision::Random&) { image *= 0.5; }}),
             not_one_resize);
  CHECK_THAT(transforms_refused({Resize{.size = 32, .fit = Fit::pad, .color = {255, 0, 0}}}), not_one_resize);
  auto options = one_image(folder, {Resize{32}});
  options.predict = thaw::vision::Predict::values;
  options.images.items[0].values = {1};
  CHECK_THAT(refused(options), ContainsSubstring("predicts no classes"));
}
