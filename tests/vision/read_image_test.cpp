// SPDX-License-Identifier: BSD-3-Clause
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

#include "support/image_bytes.hpp"
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

TEST_CASE("a JPEG that lacks a part of its pixels is refused, though it has its end; one that is gray is not") {
  const thaw::test::Folder folder;
  const auto encoded = [](const cv::Mat& image, std::vector<int> how) {
    std::vector<std::uint8_t> bytes;
    cv::imencode(".jpg", image, bytes, how);
    return std::string(bytes.begin(), bytes.end());
  };
  for (const std::vector<int>& how :
       {std::vector<int>{}, {cv::IMWRITE_JPEG_PROGRESSIVE, 1}, {cv::IMWRITE_JPEG_RST_INTERVAL, 5}})
    for (const bool gray : {false, true}) {
      cv::Mat image = thaw::test::picture(64, 48);
      if (gray) cv::cvtColor(image, image, cv::COLOR_RGB2GRAY);
      const std::string jpeg = encoded(image, how);
      thaw::test::write_text(folder / "a.jpg", jpeg);
      for (const Channels channels : {Channels::gray, Channels::rgb, Channels::rgba})
        CHECK_NOTHROW(read_image(folder / "a.jpg", channels));
      for (const double part : {0.6, 0.7, 0.9}) {
        CAPTURE(how, gray, part);
        const auto size = static_cast<std::size_t>(part * static_cast<double>(jpeg.size()));
        thaw::test::write_text(folder / "a.jpg", jpeg.substr(0, size) + (part == 0.7 ? "\xFF\xFF\xD9" : "\xFF\xD9"));
        for (const Channels channels : {Channels::gray, Channels::rgb, Channels::rgba})
          CHECK_THROWS_MATCHES(read_image(folder / "a.jpg", channels), thaw::FileError,
                               MessageMatches(ContainsSubstring("a.jpg: is a JPEG that lacks a part of its pixels") ||
                                              ContainsSubstring("a.jpg: is no image")));  // cut within a table
      }
    }
  for (const bool progressive : {false, true}) {
    thaw::test::write_text(folder / "gray.jpg", encoded(thaw::test::plain(40, 40, {128, 128, 128}),
                                                        {cv::IMWRITE_JPEG_PROGRESSIVE, progressive ? 1 : 0}));
    CHECK(read_image(folder / "gray.jpg").at<cv::Vec3b>(39, 39) == cv::Vec3b(128, 128, 128));
  }
}

TEST_CASE("every orientation, of JPEG, PNG and TIFF, also with alpha; or as it is stored") {
  const thaw::test::Folder folder;
  // A picture whose pixels are 1 to 6, and where they go: rows from the top.
  const std::vector<std::vector<int>> upright{{},
                                              {1, 2, 3, 4, 5, 6},
                                              {3, 2, 1, 6, 5, 4},
                                              {6, 5, 4, 3, 2, 1},
                                              {4, 5, 6, 1, 2, 3},
                                              {1, 4, 2, 5, 3, 6},
                                              {4, 1, 5, 2, 6, 3},
                                              {6, 3, 5, 2, 4, 1},
                                              {3, 6, 2, 5, 1, 4}};
  const auto values = [](const cv::Mat& image) {
    std::vector<int> all;
    for (int y = 0; y < image.rows; ++y)
      for (int x = 0; x < image.cols; ++x) all.push_back(image.ptr(y, x)[0]);
    return all;
  };
  for (int orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(orientation);
    const std::string exif = thaw::test::png_chunk("eXIf", thaw::test::exif_of(orientation));
    thaw::test::write_text(folder / "a.png", thaw::test::png(3, 8, 0, {"\1\2\3", "\4\5\6"}, "", exif));
    std::string colors;
    for (const char c : std::string("\1\2\3\4\5\6")) colors += std::string(3, c) + '\xFF';
    thaw::test::write_text(folder / "b.png",
                           thaw::test::png(3, 8, 6, {colors.substr(0, 12), colors.substr(12)}, "", exif));
    thaw::test::write_text(
        folder / "c.tif",
        thaw::test::tiff({.width = 3, .height = 2, .orientation = orientation, .pixels = "\1\2\3\4\5\6"}));
    for (const char* name : {"a.png", "b.png", "c.tif"})
      for (const Channels channels : {Channels::gray, Channels::rgb, Channels::rgba}) {
        CAPTURE(name);
        const cv::Mat turned = read_image(folder / name, channels);
        CHECK(turned.size() == (orientation >= 5 ? cv::Size(2, 3) : cv::Size(3, 2)));
        CHECK(values(turned) == upright[static_cast<std::size_t>(orientation)]);
        CHECK(values(read_image(folder / name, channels, thaw::vision::Orientation::stored)) == upright[1]);
      }
  }
}

TEST_CASE("a transparent TIFF has the colours that it holds, as PNG and WebP have") {
  const thaw::test::Folder folder;
  const std::string pixels = "\xC8\x64\x32\x80\x0A\x14\x1E";
  for (const int alpha : {1, 2}) {
    thaw::test::write_text(
        folder / "a.tif",
        thaw::test::tiff(
            {.width = 2, .samples = 4, .photometric = 2, .extra = {alpha}, .pixels = pixels + std::string(1, '\0')}));
    const cv::Mat rgb = read_image(folder / "a.tif"), rgba = read_image(folder / "a.tif", Channels::rgba);
    CHECK(rgb.at<cv::Vec3b>(0) == cv::Vec3b(200, 100, 50));
    CHECK(rgb.at<cv::Vec3b>(1) == cv::Vec3b(10, 20, 30));
    CHECK(rgba.at<cv::Vec4b>(0) == cv::Vec4b(200, 100, 50, 128));
    CHECK(rgba.at<cv::Vec4b>(1) == cv::Vec4b(10, 20, 30, 0));
  }
}

TEST_CASE("a TIFF of more bands is read with all of them, or refused with their number") {
  const thaw::test::Folder folder;
  for (const int photometric : {1, 2})
    for (const int bits : {8, 16, 32}) {
      CAPTURE(photometric, bits);
      std::string pixels;
      for (int i = 1; i <= 8; ++i)
        pixels += bits == 32 ? std::string(2, '\0') + static_cast<char>(i << 4) + '\x3F'
                             : thaw::test::little_endian(static_cast<std::uint64_t>(i), bits / 8);
      thaw::test::write_text(folder / "a.tif", thaw::test::tiff({.width = 2,
                                                                 .samples = 4,
                                                                 .bits = bits,
                                                                 .photometric = photometric,
                                                                 .extra = std::vector<int>(photometric == 1 ? 3 : 1, 0),
                                                                 .format = bits == 32 ? 3 : 1,
                                                                 .pixels = pixels}));
      for (const Channels channels : {Channels::gray, Channels::rgb})
        CHECK_THROWS_MATCHES(
            read_image(folder / "a.tif", channels), thaw::FileError,
            MessageMatches(ContainsSubstring("a.tif: a TIFF of 4 bands") && ContainsSubstring("Channels::rgba")));
      const cv::Mat all = read_image(folder / "a.tif", Channels::rgba);
      REQUIRE(all.channels() == 4);
      std::vector<cv::Mat> bands;
      cv::split(all, bands);
      for (std::size_t b = 1; b < 4; ++b) CHECK(cv::countNonZero(bands[b] > bands[b - 1]) == 2);
      if (bits == 8) CHECK(all.at<cv::Vec4b>(1) == cv::Vec4b(5, 6, 7, 8));
      if (bits == 16) CHECK(all.at<cv::Vec4w>(1) == cv::Vec4w(5, 6, 7, 8));
    }
  for (const int bits : {8, 16}) {
    thaw::test::write_text(
        folder / "five.tif",
        thaw::test::tiff({.samples = 5, .bits = bits, .extra = {0, 0, 0, 0}, .pixels = std::string(10, 'x')}));
    CHECK_THROWS_MATCHES(read_image(folder / "five.tif", Channels::rgba), thaw::FileError,
                         MessageMatches(ContainsSubstring("five.tif: a TIFF of 5 bands")));
  }
  thaw::test::write_text(folder / "two.tif",
                         thaw::test::tiff({.samples = 2, .bits = 16, .extra = {0}, .pixels = std::string(4, 'x')}));
  CHECK_THROWS_MATCHES(read_image(folder / "two.tif"), thaw::FileError,
                       MessageMatches(ContainsSubstring("two.tif: a TIFF of 2 bands")));
}

TEST_CASE("the error for an image of a format that OpenCV cannot read names the format") {
  const thaw::test::Folder folder;
  const auto refused = [&](const std::string& bytes, const std::string& format) {
    thaw::test::write_text(folder / "a.jpg", bytes);
    CHECK_THROWS_MATCHES(read_image(folder / "a.jpg"), thaw::FileError,
                         MessageMatches(ContainsSubstring("a.jpg: is " + format + ", which OpenCV") &&
                                        ContainsSubstring("convert it to PNG or JPEG")));
  };
  refused(std::string("GIF89a\1\0\1\0\0\0\0;", 14), "a GIF");
  refused(std::string("\0\0\0\x20", 4) + "ftypavif" + std::string(20, '\0'), "an AVIF");
  refused(std::string("\0\0\0\x20", 4) + "ftypheic" + std::string(20, '\0'), "a HEIC");
  refused("RIFF" + thaw::test::little_endian(40, 4) + "WEBPVP8X" + thaw::test::little_endian(10, 4) +
              std::string("\x02\0\0\0\0\0\0\0\0\0", 10) + "ANIM" + thaw::test::little_endian(6, 4) +
              std::string(6, '\0'),
          "an animated WebP");
  refused("<!DOCTYPE html><html>", "a web page");
}

TEST_CASE("tags and markers that are cut off or point outside are passed over") {
  const auto bytes = [](const std::string& text) { return std::vector<std::uint8_t>(text.begin(), text.end()); };
  const std::string tiff = thaw::test::tiff({.samples = 4, .extra = {0, 0, 0}, .orientation = 6, .pixels = "abcd"});
  const std::string jpeg = thaw::test::with_orientation(jpeg_bytes(thaw::test::picture(8, 8)), 6);
  const std::string png = thaw::test::png(1, 8, 0, {"x"}, "", thaw::test::png_chunk("eXIf", thaw::test::exif_of(6)));
  for (const std::string& whole : {tiff, jpeg, png}) {
    CHECK(thaw::vision::detail::orientation_of(bytes(whole)) == 6);
    for (std::size_t size = 0; size < std::min<std::size_t>(whole.size(), 300); ++size) {
      const int orientation = thaw::vision::detail::orientation_of(bytes(whole.substr(0, size)));
      CHECK((orientation == 1 || orientation == 6));
    }
    for (std::size_t at = 0; at < std::min<std::size_t>(whole.size(), 300); ++at)
      for (const char c : {'\0', '\x7F', '\xFF'}) {
        std::string other = whole;
        other[at] = c;
        const int orientation = thaw::vision::detail::orientation_of(bytes(other));
        CHECK((orientation >= 1 && orientation <= 8));
      }
  }
}

TEST_CASE("a gray TIFF of floats is read as colours too") {
  const thaw::test::Folder folder;
  cv::Mat values(3, 5, CV_32F);
  for (int i = 0; i < 15; ++i) values.at<float>(i / 5, i % 5) = static_cast<float>(i) / 16;
  thaw::test::write_as_it_is(values, folder / "a.tif");
  CHECK(thaw::test::same(read_image(folder / "a.tif", Channels::gray), values));
  cv::Mat colors, alpha;
  cv::cvtColor(values, colors, cv::COLOR_GRAY2RGB);
  cv::cvtColor(values, alpha, cv::COLOR_GRAY2RGBA);
  CHECK(thaw::test::same(read_image(folder / "a.tif"), colors));
  CHECK(thaw::test::same(read_image(folder / "a.tif", Channels::rgba), alpha));
}

TEST_CASE("a PGM or PPM is as bright as its maximum says") {
  const thaw::test::Folder folder;
  const auto pixels = [&](const std::string& bytes) {
    thaw::test::write_text(folder / "a.pgm", bytes);
    return read_image(folder / "a.pgm", Channels::gray);
  };
  const cv::Mat expected = (cv::Mat_<std::uint8_t>(1, 3) << 0, 119, 255);
  CHECK(thaw::test::same(pixels(std::string("P5 3 1 15\n\0\7\xF", 13)), expected));
  CHECK(thaw::test::same(pixels("P2\n# of 15\n3 1\n15 # at most\n0 7 15\n"), expected));
  CHECK(thaw::test::same(pixels(std::string("P5 3 1 255\n\0\x77\xFF", 14)), expected));
  const cv::Mat deep = pixels(std::string("P5 2 1 4095\n\x0F\xFF\0\x10", 16));  // 12 bits
  CHECK(deep.depth() == CV_16U);
  CHECK(deep.at<std::uint16_t>(0, 0) == 65535);
  CHECK(deep.at<std::uint16_t>(0, 1) == 256);
  thaw::test::write_text(folder / "a.ppm", std::string("P6 1 1 15\n\xF\7\0", 13));
  CHECK(read_image(folder / "a.ppm").at<cv::Vec3b>(0, 0) == cv::Vec3b(255, 119, 0));
  for (const char* bad : {"P5", "P5 1 1", "P5 1 1 0\nx", "P5 1 1 99999999999\nx", "P5 # \n", "P5 1 1 15"}) {
    thaw::test::write_text(folder / "a.pgm", bad);
    CHECK_THROWS_AS(read_image(folder / "a.pgm"), thaw::FileError);
  }
}

TEST_CASE("a DICOM file is refused, not given to a library that ends the program where it is damaged") {
  const thaw::test::Folder folder;
  thaw::test::write_text(folder / "a.png", std::string(128, '\0') + "DICM");
  CHECK_THROWS_MATCHES(read_image(folder / "a.png"), thaw::FileError,
                       MessageMatches(ContainsSubstring("a.png: is a DICOM file, which OpenCV")));
}

TEST_CASE("a pointer of git-lfs is said to be one") {
  const thaw::test::Folder folder;
  thaw::test::write_text(folder / "a.jpg", "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n");
  CHECK_THROWS_MATCHES(read_image(folder / "a.jpg"), thaw::FileError,
                       MessageMatches(ContainsSubstring("is a git-lfs pointer") && ContainsSubstring("git lfs pull")));
}

TEST_CASE("a TIFF in CIE L*a*b* is refused: OpenCV would change its colours") {
  const thaw::test::Folder folder;
  thaw::test::write_text(folder / "a.tif",
                         thaw::test::tiff({.samples = 3, .photometric = 8, .pixels = std::string("\xFF\0\0", 3)}));
  CHECK_THROWS_MATCHES(read_image(folder / "a.tif"), thaw::FileError,
                       MessageMatches(ContainsSubstring("CIE L*a*b*") && ContainsSubstring("convert it to RGB")));
}

TEST_CASE("a TIFF of four bands that is cut off is an error that names it, not OpenCV's own") {
  const thaw::test::Folder folder;
  std::string bytes = thaw::test::tiff(
      {.width = 4, .height = 4, .samples = 4, .photometric = 2, .extra = {2}, .pixels = std::string(64, '\7')});
  bytes.resize(bytes.size() - 32);
  thaw::test::write_text(folder / "a.tif", bytes);
  for (const Channels channels : {Channels::rgba, Channels::rgb, Channels::gray})
    CHECK_THROWS_MATCHES(read_image(folder / "a.tif", channels), thaw::FileError,
                         MessageMatches(ContainsSubstring("a.tif: is no image that OpenCV can read")));
}
