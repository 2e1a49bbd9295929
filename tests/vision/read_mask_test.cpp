#include <thaw/vision/read_mask.hpp>

#include <opencv2/core.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "support/pictures.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::vision::Color;
using thaw::vision::read_mask;

TEST_CASE("Pascal VOC's colours") {
  const std::vector<Color> colors = thaw::vision::voc_colors();
  CHECK(colors[0] == Color{0, 0, 0});
  CHECK(colors[1] == Color{128, 0, 0});
  CHECK(colors[2] == Color{0, 128, 0});
  CHECK(colors[15] == Color{192, 128, 128});
  CHECK(colors[20] == Color{0, 64, 128});
  CHECK(colors[255] == Color{224, 224, 192});
}

TEST_CASE("a mask is numbers, or colours that stand for them") {
  const thaw::test::Folder folder;
  cv::Mat numbers(2, 3, CV_8U);
  for (int i = 0; i < 6; ++i) numbers.at<std::uint8_t>(i / 3, i % 3) = static_cast<std::uint8_t>(i == 5 ? 255 : i);
  thaw::test::write_as_it_is(numbers, folder / "numbers.png");
  CHECK(thaw::test::same(read_mask(folder / "numbers.png"), numbers));
  cv::Mat deep;
  numbers.convertTo(deep, CV_16U);
  thaw::test::write_as_it_is(deep, folder / "deep.png");
  CHECK(thaw::test::same(read_mask(folder / "deep.png"), numbers));

  const std::vector<Color> colors = thaw::vision::voc_colors();
  cv::Mat colored(2, 3, CV_8UC3);
  for (int i = 0; i < 6; ++i) {
    const Color& color = colors[numbers.at<std::uint8_t>(i / 3, i % 3)];
    colored.at<cv::Vec3b>(i / 3, i % 3) = {color[2], color[1], color[0]};
  }
  thaw::test::write_as_it_is(colored, folder / "colored.png");
  CHECK(thaw::test::same(read_mask(folder / "colored.png", colors), numbers));
}

TEST_CASE("a mask that says no class is an error that names it") {
  const thaw::test::Folder folder;
  thaw::test::write_as_it_is(thaw::test::plain(2, 3, {3, 2, 1}), folder / "colored.png");
  CHECK_THROWS_MATCHES(read_mask(folder / "colored.png"), thaw::DataError,
                       MessageMatches(ContainsSubstring("colored.png") && ContainsSubstring("3 channels")));
  CHECK_THROWS_MATCHES(
      read_mask(folder / "colored.png", {{0, 0, 0}, {1, 2, 4}}), thaw::DataError,
      MessageMatches(ContainsSubstring("colored.png") && ContainsSubstring("(1, 2, 3) at row 0, column 0")));
  CHECK_THROWS_MATCHES(read_mask(folder / "none.png"), thaw::FileError,
                       MessageMatches(ContainsSubstring("does not exist")));
  cv::Mat deep(1, 1, CV_16U, cv::Scalar(256));
  thaw::test::write_as_it_is(deep, folder / "deep.png");
  CHECK_THROWS_MATCHES(read_mask(folder / "deep.png"), thaw::DataError, MessageMatches(ContainsSubstring("class 256")));
}

TEST_CASE("a mask of colours that a byte cannot hold, or of more classes, is an error that names it") {
  const thaw::test::Folder folder;
  thaw::test::write_as_it_is(cv::Mat(2, 3, CV_16UC3, cv::Scalar(256, 512, 768)), folder / "deep.png");
  thaw::test::write_as_it_is(thaw::test::plain(2, 3, {3, 2, 1}), folder / "colored.png");
  const auto refused = [&](const std::string& name, const std::vector<Color>& colors) {
    CHECK_THROWS_MATCHES(read_mask(folder / name, colors), thaw::DataError,
                         MessageMatches(ContainsSubstring(name + ": colours of 16 bits, or more than 256 of them") &&
                                        ContainsSubstring("give a mask of 8 bits")));
  };
  refused("deep.png", {{1, 2, 3}});
  std::vector<Color> colors(256, Color{0, 0, 0});
  colors[255] = {1, 2, 3};
  CHECK(cv::countNonZero(read_mask(folder / "colored.png", colors) == 255) == 6);
  colors.push_back({0, 0, 1});
  refused("colored.png", colors);
}

namespace {

/// One row of these values.
void write_row(const std::vector<int>& values, const std::filesystem::path& path, int type = CV_8U) {
  const cv::Mat row(1, static_cast<int>(values.size()), CV_32S, const_cast<int*>(values.data()));
  cv::Mat image;
  row.convertTo(image, type);
  thaw::test::write_as_it_is(image, path);
}

std::vector<int> row_of(const cv::Mat& mask) {
  return {mask.ptr<std::uint8_t>(0), mask.ptr<std::uint8_t>(0) + mask.cols};
}

}  // namespace

TEST_CASE("masks whose values stand for classes: 0 and 255, any others, of 16 bits, with a value that is ignored") {
  const thaw::test::Folder folder;
  write_row({0, 255, 255, 0}, folder / "binary.png");
  CHECK(row_of(read_mask(folder / "binary.png", {.values = {0, 255}}, 2)) == std::vector{0, 1, 1, 0});
  CHECK(row_of(read_mask(folder / "binary.png", {.values = {255, 0}}, 2)) == std::vector{1, 0, 0, 1});
  write_row({7, 1000, 65535, 1000}, folder / "deep.png", CV_16U);
  CHECK(row_of(read_mask(folder / "deep.png", {.values = {1000, 7}, .ignore = 65535}, 2)) == std::vector{1, 0, 255, 0});
  write_row({0, 1, 255}, folder / "void.png");
  CHECK(row_of(read_mask(folder / "void.png", {.ignore = 255}, 2)) == std::vector{0, 1, 255});
  write_row({0, 20, 240, 128, 127}, folder / "smeared.png");
  CHECK(row_of(read_mask(folder / "smeared.png", {.values = {0, 255}, .nearest = true}, 2)) ==
        std::vector{0, 0, 1, 1, 0});
}

TEST_CASE("a mask of several channels that say the same is one of numbers") {
  const thaw::test::Folder folder;
  thaw::test::write_as_it_is(cv::Mat(2, 3, CV_8UC3, cv::Scalar(1, 1, 1)), folder / "bgr.png");
  thaw::test::write_as_it_is(cv::Mat(2, 3, CV_8UC4, cv::Scalar(1, 1, 1, 255)), folder / "bgra.png");
  for (const char* name : {"bgr.png", "bgra.png"}) {
    CHECK(cv::countNonZero(read_mask(folder / name) == 1) == 6);
    CHECK(cv::countNonZero(read_mask(folder / name, {}, 2) == 1) == 6);
  }
}

TEST_CASE("a value that is no class's is refused, with the values that the mask has and the remedy") {
  const thaw::test::Folder folder;
  const auto refused = [&](const std::vector<int>& values, const thaw::vision::MaskCode& code, std::int64_t classes,
                           const std::string& what, const std::string& fix) {
    write_row(values, folder / "m.png");
    CHECK_THROWS_MATCHES(
        read_mask(folder / "m.png", code, classes), thaw::DataError,
        MessageMatches(ContainsSubstring("m.png: a mask with the values " + what) && ContainsSubstring(fix)));
  };
  refused({0, 255, 0}, {}, 2, "0, 255, and there are 2 classes", "mask_values = {0, 255}; or mask_ignore = 255 if");
  refused({255, 255}, {}, 2, "255, and there are 2 classes", "by mask_values, as {0, 255}");
  refused({0, 1, 2}, {}, 2, "0, 1, 2, and", "or mask_ignore = 2 if such pixels count for no class");
  refused({0, 3, 250, 255}, {}, 2, "0, 3, 250, 255, and", "write masks as PNG, or give mask_values and mask_nearest");
  refused({0, 128, 255}, {.values = {0, 255}}, 2, "0, 128, 255, and mask_values are 0, 255", "mask_ignore = 128");
  refused({0, 21}, {}, 21, "0, 21, and there are 21 classes", "by mask_values; or mask_ignore = 21");

  const std::vector<Color> colors = thaw::vision::voc_colors();
  cv::Mat colored(1, 2, CV_8UC3, cv::Scalar(0, 0, 0));
  colored.at<cv::Vec3b>(0, 1) = {192, 224, 224};
  thaw::test::write_as_it_is(colored, folder / "voc.png");
  CHECK_THROWS_MATCHES(read_mask(folder / "voc.png", {.colors = colors}, 21), thaw::DataError,
                       MessageMatches(ContainsSubstring("values 0, 255, and there are 21 classes") &&
                                      ContainsSubstring("mask_colors; or mask_ignore = 255")));
  CHECK(row_of(read_mask(folder / "voc.png", {.colors = colors, .ignore = 255}, 21)) == std::vector{0, 255});

  thaw::test::write_as_it_is(cv::Mat(1, 2, CV_32F, cv::Scalar(0.5)), folder / "part.tiff");
  CHECK_THROWS_MATCHES(read_mask(folder / "part.tiff"), thaw::DataError,
                       MessageMatches(ContainsSubstring("part.tiff: a mask with numbers that are not whole")));
}

TEST_CASE("half a mask is an error: a JPEG whose end is missing") {
  const thaw::test::Folder folder;
  thaw::test::write_as_it_is(cv::Mat(64, 64, CV_8U, cv::Scalar(1)), folder / "m.jpg");
  CHECK(cv::countNonZero(read_mask(folder / "m.jpg") == 1) == 64 * 64);
  std::filesystem::resize_file(folder / "m.jpg", std::filesystem::file_size(folder / "m.jpg") - 2);
  CHECK_THROWS_MATCHES(read_mask(folder / "m.jpg"), thaw::FileError,
                       MessageMatches(ContainsSubstring("m.jpg: is a JPEG that ends too early")));
}

TEST_CASE("a code that does not fit the classes") {
  using thaw::vision::MaskCode;
  const auto refused = [](const MaskCode& code, std::int64_t classes, const std::string& what) {
    CHECK_THROWS_MATCHES(code.check("here", classes), thaw::ConfigError,
                         MessageMatches(ContainsSubstring("here: " + what)));
  };
  MaskCode{.values = {0, 255}, .ignore = 128, .nearest = true}.check("here", 2);
  refused({}, 256, "256 classes of masks");
  refused({.colors = {{1, 2, 3}}, .values = {0}}, 1, "both mask_values and mask_colors");
  refused({.values = {0, 255}}, 3, "2 mask_values and 3 classes");
  refused({.values = {7, 7}}, 2, "mask_values 7, 7 has a value twice");
  refused({.values = {0, 65536}}, 2, "mask_values are 0, 65536");
  refused({.values = {0, 255}, .ignore = 255}, 2, "mask_ignore is 255");
  refused({.nearest = true}, 2, "mask_nearest without mask_values");
}
