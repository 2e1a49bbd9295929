// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/contact_sheet.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <opencv2/imgcodecs.hpp>

using thaw::vision::contact_sheet;
using thaw::vision::Tile;
namespace sheet_detail = thaw::vision::detail;

namespace {

cv::Mat one_color(int width, int height, const cv::Scalar& color) {
  return {height, width, CV_8UC3, color};
}

bool is_all(const cv::Mat& image, const cv::Vec3b& color) {
  cv::Mat differing;
  cv::inRange(image, color, color, differing);
  return cv::countNonZero(differing) == static_cast<int>(image.total());
}

const cv::Vec3b white_pixel(255, 255, 255), ground(43, 47, 54);

}  // namespace

TEST_CASE("tiles stand in a grid, row by row, on dark gray") {
  const std::vector<Tile> tiles{
      {one_color(20, 20, {200, 10, 20})}, {one_color(5, 5, {1, 2, 3})}, {one_color(40, 40, {7, 8, 9})}};
  const cv::Mat sheet = contact_sheet(tiles, {.columns = 2, .tile = 20, .padding = 4});
  REQUIRE(sheet.size() == cv::Size(4 + 2 * 24, 4 + 2 * 24));
  CHECK(is_all(sheet({4, 4, 20, 20}), {200, 10, 20}));
  CHECK(is_all(sheet({28, 4, 20, 20}), {1, 2, 3}));
  CHECK(is_all(sheet({4, 28, 20, 20}), {7, 8, 9}));
  CHECK(is_all(sheet({28, 28, 24, 24}), ground));
  CHECK(is_all(sheet({0, 0, 52, 4}), ground));
  CHECK(is_all(sheet({24, 0, 4, 52}), ground));
  CHECK(contact_sheet(tiles, {.tile = 20, .padding = 4}).size() == sheet.size());  // about as many columns as rows
}

TEST_CASE("images keep their proportions, in the middle of their place") {
  const cv::Mat sheet = contact_sheet({{one_color(40, 10, {9, 9, 9})}, {one_color(3, 6, {5, 5, 5})}},
                                      {.columns = 2, .tile = 20, .padding = 0});
  CHECK(is_all(sheet({0, 7, 20, 5}), {9, 9, 9}));
  CHECK(is_all(sheet({0, 0, 20, 7}), ground));
  CHECK(is_all(sheet({0, 12, 20, 8}), ground));
  CHECK(is_all(sheet({25, 0, 10, 20}), {5, 5, 5}));
  CHECK(is_all(sheet({20, 0, 5, 20}), ground));
}

TEST_CASE("pixels as they are, where nothing is to be smoothed") {
  cv::Mat two(1, 2, CV_8UC3, cv::Scalar::all(0));
  two.at<cv::Vec3b>(0, 1) = white_pixel;
  const cv::Mat hard = contact_sheet({{two}}, {.tile = 20, .padding = 0, .smooth = false});
  CHECK(is_all(hard({0, 5, 10, 10}), {0, 0, 0}));
  CHECK(is_all(hard({10, 5, 10, 10}), white_pixel));
  const cv::Mat soft = contact_sheet({{two}}, {.tile = 20, .padding = 0});
  CHECK_FALSE(is_all(soft({0, 5, 10, 10}), {0, 0, 0}));
}

TEST_CASE("images of every kind: gray, alpha, 16 bits, floats") {
  const auto first = [](const cv::Mat& image) {
    return contact_sheet({{image}}, {.tile = 8, .padding = 0}).at<cv::Vec3b>(0, 0);
  };
  CHECK(first(cv::Mat(8, 8, CV_8U, cv::Scalar(50))) == cv::Vec3b(50, 50, 50));
  CHECK(first(cv::Mat(8, 8, CV_8UC4, cv::Scalar(1, 2, 3, 0))) == cv::Vec3b(1, 2, 3));
  CHECK(first(cv::Mat(8, 8, CV_16UC3, cv::Scalar(65535, 0, 257))) == cv::Vec3b(255, 0, 1));
  CHECK(first(cv::Mat(8, 8, CV_32F, cv::Scalar(0.2))) == cv::Vec3b(51, 51, 51));
}

TEST_CASE("captions stand below their tiles, titles above, names of rows to the left") {
  const cv::Mat black = one_color(40, 40, {});
  const sheet_detail::Lettering letters(10);
  const int line = letters.line();
  const cv::Mat bare = contact_sheet({{black}, {black}}, {.columns = 1, .tile = 40, .padding = 6});
  const cv::Mat with = contact_sheet({{black, "ab"}, {black, "c\nd"}}, {.columns = 1, .tile = 40, .padding = 6});
  CHECK(with.size() == bare.size() + cv::Size(0, 4 * line));  // two lines for each
  CHECK(is_all(with({6, 6, 40, 40}), {0, 0, 0}));
  CHECK_FALSE(is_all(with({6, 46, 40, line}), ground));
  CHECK(is_all(with({6, 46 + line, 40, line + 6}), ground));
  const int second = 6 + 40 + 2 * line + 6;
  CHECK(is_all(with({6, second, 40, 40}), {0, 0, 0}));
  CHECK_FALSE(is_all(with({6, second + 40, 40, line}), ground));
  CHECK_FALSE(is_all(with({6, second + 40 + line, 40, line}), ground));

  const cv::Mat titled = contact_sheet({{black}}, {.title = "abc", .columns = 1, .tile = 40, .padding = 6});
  CHECK(is_all(titled({6, 6 + line, 40, 40}), {0, 0, 0}));
  CHECK_FALSE(is_all(titled({6, 0, 40, 6 + line}), ground));

  const int left = letters.width("row 1") + 12;
  const cv::Mat rows = contact_sheet({{black}}, {.columns = 1, .tile = 40, .padding = 6, .rows = {"row 1"}});
  CHECK(rows.cols == left + 46);
  CHECK(is_all(rows({left, 6, 40, 40}), {0, 0, 0}));
  CHECK_FALSE(is_all(rows({0, 6, left, 40}), ground));
}

TEST_CASE("captions that are too long are cut; other characters than ASCII are question marks") {
  const sheet_detail::Lettering letters(10);
  CHECK(letters.cut("short", 100) == "short");
  const std::string cut = letters.cut("a caption that is much too long", 100);
  CHECK(cut.starts_with("a caption"));
  CHECK(cut.ends_with(".."));
  CHECK(letters.width(cut) <= 100);
  CHECK(sheet_detail::ascii("m\xC3\xBC\xE2\x82\xACx\t") == "m??x?");
  CHECK(sheet_detail::lines_of("a\n\nb") == std::vector<std::string>{"a", "", "b"});
  CHECK(sheet_detail::lines_of("").empty());
  // Nothing is drawn beyond the tile.
  const cv::Mat sheet =
      contact_sheet({{one_color(20, 20, {}), "a caption that is much too long"}}, {.tile = 20, .padding = 9});
  CHECK(is_all(sheet({31, 0, sheet.cols - 31, sheet.rows}), ground));
}

TEST_CASE("a frame says whether a sample was predicted right; without, there is none") {
  const cv::Mat black = one_color(40, 40, {});
  const cv::Mat sheet = contact_sheet({{.image = black, .right = true}, {.image = black, .right = false}, {black}},
                                      {.columns = 3, .tile = 40});
  CHECK(is_all(sheet({8 - 3, 8 - 3, 46, 3}), {86, 180, 233}));
  CHECK(is_all(sheet({56 - 3, 8, 3, 40}), {230, 110, 0}));
  CHECK(is_all(sheet({8, 8, 40, 40}), {0, 0, 0}));
  CHECK(is_all(sheet({104, 0, 40, 8}), ground));
}

TEST_CASE("a legend stands below the title, in as many lines as it takes") {
  const cv::Mat black = one_color(100, 100, {});
  const std::vector<thaw::vision::LegendEntry> two{{"sky", {9, 99, 9}}, {"a road, wet", {200, 0, 9}}};
  const int line = sheet_detail::Lettering(10).line();
  const cv::Mat bare = contact_sheet({{black}}, {.tile = 100}),
                wide = contact_sheet({{black}}, {.legend = two, .tile = 300}),
                narrow = contact_sheet({{black}}, {.title = "t", .legend = two, .tile = 100});
  CHECK(contact_sheet({{black}}, {.tile = 300}).rows + line == wide.rows);
  CHECK(bare.rows + 3 * line == narrow.rows);
  const auto swatches = [](const cv::Mat& sheet, const cv::Vec3b& color) {
    cv::Mat where;
    cv::inRange(sheet, color, color, where);
    return cv::boundingRect(where);
  };
  const cv::Rect sky = swatches(narrow, {9, 99, 9}), road = swatches(narrow, {200, 0, 9});
  CHECK(sky.width == sky.height);
  CHECK((sky.y > line && road.y >= sky.y + line));
  CHECK(road.y + road.height < 8 + 3 * line);
  CHECK(is_all(narrow({8, 8 + 3 * line, 100, 100}), {0, 0, 0}));
}

TEST_CASE("an empty sheet, sizes that make no sense, a tile without an image") {
  CHECK(contact_sheet({}).cols > 0);
  CHECK_THROWS_AS(contact_sheet({}, {.tile = 0}), thaw::ConfigError);
  CHECK_THROWS_AS(contact_sheet({}, {.columns = -1}), thaw::ConfigError);
  CHECK_THROWS_AS(contact_sheet({}, {.padding = -1}), thaw::ConfigError);
  CHECK_THROWS_AS(contact_sheet({}, {.font = 0}), thaw::ConfigError);
  CHECK_THROWS_AS(contact_sheet({{cv::Mat()}}), thaw::DataError);
}

TEST_CASE("an image becomes a PNG with its caption") {
  const thaw::Picture picture = thaw::vision::to_picture(one_color(3, 2, {250, 100, 5}), "a sheet");
  CHECK(picture.caption == "a sheet");
  CHECK(picture.media_type == "image/png");
  const std::vector<unsigned char> bytes(picture.bytes.begin(), picture.bytes.end());
  const cv::Mat read = cv::imdecode(bytes, cv::IMREAD_COLOR);
  CHECK(read.size() == cv::Size(3, 2));
  CHECK(read.at<cv::Vec3b>(0, 0) == cv::Vec3b(5, 100, 250));  // OpenCV's order
}
