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

TEST_CASE("a JPEG with padding or stray bytes before its markers is read, and missed where it ends too early") {
  const thaw::test::Folder folder;
  const std::string jpeg = jpeg_bytes(thaw::test::picture(48, 48));
  const std::size_t second = 4 + static_cast<unsigned char>(jpeg[4]) * 256U + static_cast<unsigned char>(jpeg[5]);
  const std::string padded =
      jpeg.substr(0, 2) + "\xFF\xFF\xFF" + jpeg.substr(2, second - 2) + "stray" + jpeg.substr(second);
  thaw::test::write_text(folder / "plain.jpg", jpeg);
  thaw::test::write_text(folder / "padded.jpg", padded);
  CHECK(thaw::test::same(read_image(folder / "padded.jpg"), read_image(folder / "plain.jpg")));
  thaw::test::write_text(folder / "half.jpg", padded.substr(0, padded.size() * 9 / 10));
  CHECK_THROWS_MATCHES(read_image(folder / "half.jpg"), thaw::FileError,
                       MessageMatches(ContainsSubstring("half.jpg: is a JPEG that ends too early") &&
                                      ContainsSubstring("copy it again")));
}

TEST_CASE("a JPEG that ends within its header is not whole; what is no JPEG is not asked") {
  const auto whole = [](const std::string& bytes) {
    return thaw::vision::detail::whole_or_no_jpeg({bytes.begin(), bytes.end()});
  };
  const std::string jpeg = jpeg_bytes(thaw::test::picture(8, 8));
  CHECK(whole(jpeg));
  const std::size_t scan = jpeg.find("\xFF\xDA");
  REQUIRE(scan != jpeg.npos);
  for (std::size_t size = 2; size < scan; ++size) CHECK_FALSE(whole(jpeg.substr(0, size)));
  CHECK(whole(""));
  CHECK(whole("no picture"));
}

TEST_CASE("an image of more pixels than OpenCV reads is an error that names it, not OpenCV's own") {
  const thaw::test::Folder folder;
  const std::string wide = "P5\n2000000 1\n255\n" + std::string(2'000'000, 'x');
  CHECK_THROWS_AS(cv::imdecode(std::vector<std::uint8_t>(wide.begin(), wide.end()), cv::IMREAD_COLOR), cv::Exception);
  thaw::test::write_text(folder / "wide.pgm", wide);
  for (const Channels channels : {Channels::gray, Channels::rgb, Channels::rgba})
    CHECK_THROWS_MATCHES(read_image(folder / "wide.pgm", channels), thaw::FileError,
                         MessageMatches(ContainsSubstring("wide.pgm: is no image that OpenCV can read")));
}

TEST_CASE("pixels that are neither bytes, 16 bits nor floats are an error that names their type") {
  const thaw::test::Folder folder;
  const auto refused = [&](const std::string& name, Channels channels, const std::string& type) {
    CHECK_THROWS_MATCHES(read_image(folder / name, channels), thaw::FileError,
                         MessageMatches(ContainsSubstring(name + ": its pixels are of the type " + type) &&
                                        ContainsSubstring("convert it to 8 or 16 bits")));
  };
  thaw::test::write_as_it_is(cv::Mat(4, 6, CV_64F, cv::Scalar(0.5)), folder / "double.tiff");
  refused("double.tiff", Channels::gray, "CV_64F");
  thaw::test::write_as_it_is(cv::Mat(4, 6, CV_16S, cv::Scalar(-5)), folder / "signed.tiff");
  for (const Channels channels : {Channels::gray, Channels::rgb, Channels::rgba})
    refused("signed.tiff", channels, "CV_16S");
}
