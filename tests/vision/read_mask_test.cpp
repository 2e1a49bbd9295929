#include <thaw/vision/read_mask.hpp>

#include <opencv2/core.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdint>
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
