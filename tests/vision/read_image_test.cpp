#include <thaw/vision/read_image.hpp>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "support/pictures.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::vision::Channels;
using thaw::vision::read_image;

namespace {

std::string jpeg_bytes(const cv::Mat& image) {
  std::vector<std::uint8_t> bytes;
  cv::imencode(".jpg", image, bytes, {cv::IMWRITE_JPEG_QUALITY, 100});
  return {bytes.begin(), bytes.end()};
}

/// The same JPEG with a segment behind its first two bytes.
std::string with_segment(const std::string& jpeg, char marker, const std::string& content) {
  const std::size_t size = content.size() + 2;
  return jpeg.substr(0, 2) + '\xFF' + marker + static_cast<char>(size >> 8) + static_cast<char>(size & 0xFF) + content +
         jpeg.substr(2);
}

/// One EXIF entry: how the camera was held, 1 to 8.
std::string exif_orientation(char orientation) {
  std::string tiff("Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 24);
  return tiff + orientation + std::string(7, '\0');
}

}  // namespace

TEST_CASE("an image is read in the channels that are asked for, as RGB") {
  const thaw::test::Folder folder;
  const cv::Mat image = thaw::test::picture(5, 7);
  cv::Mat bgr, bgra, gray;
  cv::cvtColor(image, bgr, cv::COLOR_RGB2BGR);
  cv::cvtColor(image, gray, cv::COLOR_RGB2GRAY);
  cv::cvtColor(bgr, bgra, cv::COLOR_BGR2BGRA);
  bgra.at<cv::Vec4b>(2, 3)[3] = 9;
  thaw::test::write_as_it_is(bgr, folder / "rgb.png");
  thaw::test::write_as_it_is(bgra, folder / "rgba.png");
  thaw::test::write_as_it_is(gray, folder / "gray.png");

  CHECK(thaw::test::same(read_image(folder / "rgb.png"), image));
  CHECK(thaw::test::same(read_image(folder / "rgba.png"), image));
  CHECK(thaw::test::same(read_image(folder / "gray.png", Channels::gray), gray));
  CHECK(thaw::test::farthest(read_image(folder / "rgb.png", Channels::gray), gray) <= 1);
  cv::Mat tripled;
  cv::cvtColor(gray, tripled, cv::COLOR_GRAY2RGB);
  CHECK(thaw::test::same(read_image(folder / "gray.png"), tripled));

  const cv::Mat alpha = read_image(folder / "rgba.png", Channels::rgba);
  REQUIRE(alpha.type() == CV_8UC4);
  CHECK(alpha.at<cv::Vec4b>(2, 3) ==
        cv::Vec4b(image.at<cv::Vec3b>(2, 3)[0], image.at<cv::Vec3b>(2, 3)[1], image.at<cv::Vec3b>(2, 3)[2], 9));
  CHECK(read_image(folder / "rgb.png", Channels::rgba).at<cv::Vec4b>(0, 0)[3] == 255);
}

TEST_CASE("16 bits per channel stay 16 bits") {
  const thaw::test::Folder folder;
  cv::Mat deep(4, 6, CV_16U);
  for (int i = 0; i < 24; ++i) deep.at<std::uint16_t>(i / 6, i % 6) = static_cast<std::uint16_t>(2700 * i);
  thaw::test::write_as_it_is(deep, folder / "deep.png");
  CHECK(thaw::test::same(read_image(folder / "deep.png", Channels::gray), deep));
  CHECK(read_image(folder / "deep.png").type() == CV_16UC3);
}

TEST_CASE("an image is turned upright as its EXIF says") {
  const thaw::test::Folder folder;
  cv::Mat image = thaw::test::plain(16, 32, {0, 0, 0});
  image.colRange(0, 8).setTo(cv::Scalar(255, 255, 255));  // light at the left
  for (const Channels channels : {Channels::gray, Channels::rgb, Channels::rgba}) {
    const auto light = [&](char orientation, int y, int x) {
      thaw::test::write_text(folder / "a.jpg", with_segment(jpeg_bytes(image), '\xE1', exif_orientation(orientation)));
      cv::Mat read = read_image(folder / "a.jpg", channels);
      return read.size() == (orientation >= 5 ? cv::Size(16, 32) : cv::Size(32, 16)) && read.ptr(y, x)[0] > 200;
    };
    CHECK(light(1, 8, 2));
    CHECK(light(2, 8, 29));  // mirrored
    CHECK(light(3, 8, 29));  // upside down
    CHECK(light(6, 2, 8));   // what was left is up
    CHECK(light(8, 29, 8));  // what was left is down
  }
}

TEST_CASE("a file that is no whole image is an error that names it") {
  const thaw::test::Folder folder;
  const auto refused = [&](const std::string& name, const std::string& what) {
    CHECK_THROWS_MATCHES(read_image(folder / name), thaw::FileError,
                         MessageMatches(ContainsSubstring(name) && ContainsSubstring(what)));
  };
  refused("missing.jpg", "does not exist");
  thaw::test::write_text(folder / "empty.jpg", "");
  refused("empty.jpg", "is empty");
  thaw::test::write_text(folder / "text.png", "no picture");
  refused("text.png", "no image that OpenCV can read");
  std::filesystem::create_directories(folder / "folder.png");
  CHECK_THROWS_AS(read_image(folder / "folder.png"), thaw::FileError);

  const std::string jpeg = jpeg_bytes(thaw::test::picture(48, 48));
  const std::string thumbnail = with_segment(jpeg, '\xE1', "Exif" + jpeg_bytes(thaw::test::picture(8, 8)));
  thaw::test::write_text(folder / "whole.jpg", thumbnail);
  CHECK_NOTHROW(read_image(folder / "whole.jpg"));
  thaw::test::write_text(folder / "trailing.jpg", jpeg + std::string(100, 'x'));
  CHECK_NOTHROW(read_image(folder / "trailing.jpg"));
  for (const double part : {0.7, 0.95}) {
    thaw::test::write_text(folder / "half.jpg",
                           thumbnail.substr(0, static_cast<std::size_t>(part * static_cast<double>(thumbnail.size()))));
    refused("half.jpg", "ends too early");
  }
  std::vector<std::uint8_t> png;
  cv::imencode(".png", thaw::test::picture(48, 48), png);
  thaw::test::write_text(folder / "half.png", std::string(png.begin(), png.begin() + std::ssize(png) / 2));
  refused("half.png", "no image that OpenCV can read");
}
