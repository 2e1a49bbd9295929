// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/read_mask.hpp>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "support/image_bytes.hpp"
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

namespace {

std::vector<int> mask_row(const std::filesystem::path& path) {
  const cv::Mat mask = read_mask(path);
  return {mask.ptr<std::uint8_t>(0), mask.ptr<std::uint8_t>(0) + mask.cols};
}

}  // namespace

TEST_CASE("numbers in a mask that are no classes are refused with file and value: signed, not whole, NaN") {
  const thaw::test::Folder folder;
  const auto refused = [&](const cv::Mat& mask, const std::string& what, const thaw::vision::MaskCode& code = {}) {
    thaw::test::write_as_it_is(mask, folder / "m.tif");
    CHECK_THROWS_MATCHES(read_mask(folder / "m.tif"), thaw::DataError,
                         MessageMatches(ContainsSubstring("m.tif: ") && ContainsSubstring(what)));
    CHECK_THROWS_MATCHES(
        read_mask(folder / "m.tif", code, 2), thaw::DataError,
        MessageMatches(ContainsSubstring("m.tif: ") && ContainsSubstring(what.substr(what.find('-') + 1))));
  };
  const thaw::vision::MaskCode nearest{.values = {0, 255}, .nearest = true};
  refused(cv::Mat(1, 1, CV_16S, cv::Scalar(-1)), "the class -1");
  refused(cv::Mat(1, 1, CV_32F, cv::Scalar(-1)), "the class -1", nearest);
  refused(cv::Mat(1, 1, CV_8S, cv::Scalar(-1)), "the class -1", nearest);
  refused(cv::Mat(1, 1, CV_32F, cv::Scalar(1.5)), "not whole: 1.5 at row 0, column 0", nearest);
  refused(cv::Mat(1, 1, CV_64F, cv::Scalar(1.5)), "not whole: 1.5 at row 0, column 0");
  refused(cv::Mat(1, 1, CV_32F, cv::Scalar(std::nan(""))), "not whole: nan at row 0", nearest);
  thaw::test::write_as_it_is(cv::Mat(1, 1, CV_32F, cv::Scalar(1)), folder / "m.tif");
  CHECK(mask_row(folder / "m.tif") == std::vector{1});
}

TEST_CASE("a mask has the numbers that stand in its file: gray of 2 and 4 bits, darkness, places in a palette") {
  const thaw::test::Folder folder;
  const std::string palette("\0\0\0\x80\0\0\0\x80\0\xFF\xFF\xFF", 12);
  const auto row = [&](const std::string& bytes, const char* name = "m.png") {
    thaw::test::write_text(folder / name, bytes);
    return mask_row(folder / name);
  };
  CHECK(row(thaw::test::png(4, 2, 0, {"\x1B"})) == std::vector{0, 1, 2, 3});
  CHECK(row(thaw::test::png(2, 4, 0, {"\x5F"})) == std::vector{5, 15});
  CHECK(row(thaw::test::png(2, 1, 0, {"\x40"})) == std::vector{0, 255});  // black and white
  CHECK(row(thaw::test::png(4, 2, 3, {"\x1B"}, palette)) == std::vector{0, 1, 2, 3});
  CHECK(row(thaw::test::png(2, 1, 3, {"\x40"}, palette)) == std::vector{0, 1});
  CHECK(row(thaw::test::png(2, 4, 3, {"\x12"}, palette)) == std::vector{1, 2});
  const std::string places("\3\0\1\2", 4);
  CHECK(row(thaw::test::png(4, 8, 3, {places}, palette)) == std::vector{3, 0, 1, 2});
  const std::string transparent = thaw::test::png_chunk("tRNS", std::string(1, '\0'));
  CHECK(row(thaw::test::png(4, 8, 3, {places}, palette, transparent)) == std::vector{3, 0, 1, 2});
  const std::vector<Color> colors{{255, 255, 255}, {0, 128, 0}, {128, 0, 0}, {0, 0, 0}};
  const cv::Mat by_color = read_mask(folder / "m.png", colors);
  CHECK(std::vector<int>(by_color.ptr(0), by_color.ptr(0) + 4) == std::vector{0, 3, 2, 1});

  for (const int photometric : {0, 1, 3})
    CHECK(row(thaw::test::tiff({.width = 4, .photometric = photometric, .pixels = places}), "m.tif") ==
          std::vector{3, 0, 1, 2});
}

TEST_CASE("a palette of grays is one of classes where they rise with their places, and refused where they do not") {
  const thaw::test::Folder folder;
  const std::string rising("\0\0\0\xFF\xFF\xFF", 6), falling("\xFF\xFF\xFF\0\0\0", 6), red("\xFF\xFF\xFF\xFF\0\0", 6);
  const auto write = [&](const std::string& palette, const std::string& pixels) {
    thaw::test::write_text(folder / "m.png", thaw::test::png(2, 1, 3, {pixels}, palette));
    return folder / "m.png";
  };
  CHECK(mask_row(write(rising, "\x40")) == std::vector{0, 1});
  CHECK(mask_row(write(red, "\x40")) == std::vector{0, 1});
  CHECK(mask_row(write(rising, "\xC0")) == std::vector{1, 1});
  for (const char* pixels : {"\xC0", "\x40"})
    CHECK_THROWS_MATCHES(read_mask(write(falling, pixels)), thaw::DataError,
                         MessageMatches(ContainsSubstring("m.png: a mask with a palette of grays that do not rise")));
  CHECK(read_mask(folder / "m.png", {{0, 0, 0}, {255, 255, 255}}).at<std::uint8_t>(0) == 1);
}

TEST_CASE("a mask of lossy compression is refused where it could invent classes, and read where it cannot") {
  const thaw::test::Folder folder;
  cv::Mat mask(16, 32, CV_8U, cv::Scalar(0));
  mask.colRange(13, 32) = 4;
  thaw::test::write_as_it_is(mask, folder / "m.jpg");
  for (const auto& read : {std::function<void()>([&] { (void)read_mask(folder / "m.jpg"); }),
                           std::function<void()>([&] { (void)read_mask(folder / "m.jpg", {}, 21); })})
    CHECK_THROWS_MATCHES(read(), thaw::DataError,
                         MessageMatches(ContainsSubstring("m.jpg: a mask with the values 0, ") &&
                                        ContainsSubstring("lossy compression, which invents") &&
                                        ContainsSubstring("write masks as PNG")));
  mask.colRange(13, 32) = 255;
  thaw::test::write_as_it_is(mask, folder / "m.jpg");
  const cv::Mat nearest = read_mask(folder / "m.jpg", {.values = {0, 255}, .nearest = true}, 2);
  CHECK(cv::countNonZero(nearest) == 16 * 19);
}

TEST_CASE("half a mask is an error also where the JPEG has its end") {
  const thaw::test::Folder folder;
  cv::Mat mask(64, 64, CV_8U, cv::Scalar(0));
  for (int i = 0; i < 64; ++i) mask.row(i).colRange(0, i) = 255;
  thaw::test::write_as_it_is(mask, folder / "m.jpg");
  const auto size = std::filesystem::file_size(folder / "m.jpg");
  std::filesystem::resize_file(folder / "m.jpg", size * 9 / 10);
  std::ofstream(folder / "m.jpg", std::ios::app | std::ios::binary) << "\xFF\xD9";
  for (const thaw::vision::MaskCode& code : {thaw::vision::MaskCode{.values = {0, 255}, .nearest = true}, {}})
    CHECK_THROWS_MATCHES(read_mask(folder / "m.jpg", code, 2), thaw::FileError,
                         MessageMatches(ContainsSubstring("m.jpg: is a JPEG that lacks a part of its pixels")));
}

TEST_CASE("a mask by colours takes no table of all colours") {
  const thaw::test::Folder folder;
  const std::vector<Color> colors = thaw::vision::voc_colors();
  thaw::test::write_as_it_is(thaw::test::plain(1, 1, {0, 0, 128}), folder / "m.png");
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) (void)read_mask(folder / "m.png", colors);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(800));  // with a table of 32 MB: 2 s
  CHECK(read_mask(folder / "m.png", {{1, 2, 3}, {128, 0, 0}, {128, 0, 0}}).at<std::uint8_t>(0) == 1);  // the first
}

TEST_CASE("a PGM's numbers are those that stand there, whatever its maximum, as bytes or as text") {
  const thaw::test::Folder folder;
  const cv::Mat expected = (cv::Mat_<std::uint8_t>(1, 3) << 0, 7, 15);
  for (const std::string& bytes : {std::string("P5 3 1 15\n\0\7\xF", 13), std::string("P2 3 1 15\n0 7 15\n")}) {
    thaw::test::write_text(folder / "m.pgm", bytes);
    CHECK(thaw::test::same(read_mask(folder / "m.pgm"), expected));
  }
}

TEST_CASE("a mask whose transparency alone says something is refused") {
  const thaw::test::Folder folder;
  cv::Mat mask(2, 3, CV_8UC4, cv::Scalar(0, 0, 0, 255));
  thaw::test::write_as_it_is(mask, folder / "m.png");
  CHECK(cv::countNonZero(read_mask(folder / "m.png")) == 0);
  mask.at<cv::Vec4b>(1, 2)[3] = 0;
  thaw::test::write_as_it_is(mask, folder / "m.png");
  CHECK_THROWS_MATCHES(read_mask(folder / "m.png"), thaw::DataError,
                       MessageMatches(ContainsSubstring("m.png: a mask of one colour, whose transparency alone")));
  mask.at<cv::Vec4b>(0, 0) = {1, 1, 1, 255};  // colours that say something
  thaw::test::write_as_it_is(mask, folder / "m.png");
  CHECK(cv::countNonZero(read_mask(folder / "m.png")) == 1);
}

TEST_CASE("lossy compression is known in TIFF, WebP and JPEG 2000 too") {
  cv::Mat mask(16, 32, CV_8UC4, cv::Scalar(0, 0, 0, 255));
  mask.colRange(13, 32) = cv::Scalar(4, 4, 4, 128);
  cv::Mat gray;
  cv::extractChannel(mask, gray, 0);
  const auto lossy = [](const cv::Mat& image, const char* extension, const std::vector<int>& how) {
    std::vector<std::uint8_t> bytes;
    cv::imencode(extension, image, bytes, how);
    return thaw::vision::detail::is_lossy(bytes);
  };
  CHECK(lossy(gray, ".jpg", {}));
  CHECK(lossy(gray, ".tif", {cv::IMWRITE_TIFF_COMPRESSION, 7}));
  CHECK_FALSE(lossy(gray, ".tif", {cv::IMWRITE_TIFF_COMPRESSION, 5}));
  CHECK(lossy(mask, ".webp", {cv::IMWRITE_WEBP_QUALITY, 50}));  // with alpha, it is an extended one
  CHECK_FALSE(lossy(mask, ".webp", {cv::IMWRITE_WEBP_QUALITY, 101}));
  CHECK_FALSE(lossy(gray, ".png", {}));
  const auto jp2 = [](char wavelet) {
    const std::string code = std::string("\xFF\x4F\xFF\x51\0\4\0\0\xFF\x52\0\xC\0\0\0\1\0\5\4\4\0", 21) + wavelet;
    const std::string boxed = std::string("\0\0\0\xCjP  \r\n\x87\n", 12) + code;
    return std::vector<std::uint8_t>(boxed.begin(), boxed.end());
  };
  CHECK(thaw::vision::detail::is_lossy(jp2(0)));
  CHECK_FALSE(thaw::vision::detail::is_lossy(jp2(1)));
}
