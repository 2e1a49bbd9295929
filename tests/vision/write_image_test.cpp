// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/vision/write_image.hpp>

#include <opencv2/core.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <thaw/vision/read_image.hpp>

#include "support/pictures.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::vision::Channels;
using thaw::vision::read_image;
using thaw::vision::write_image;

TEST_CASE("what is written is read again") {
  const thaw::test::Folder folder;
  const cv::Mat image = thaw::test::picture(5, 7), rgba(3, 3, CV_8UC4, cv::Scalar(1, 2, 3, 4));
  write_image(image, folder / "a.png");
  CHECK(thaw::test::same(read_image(folder / "a.png"), image));
  write_image(rgba, folder / "b.png");
  CHECK(thaw::test::same(read_image(folder / "b.png", Channels::rgba), rgba));
  write_image(image, folder / "a.jpg");
  CHECK(thaw::vision::encoded(image).starts_with("\x89PNG"));
  CHECK(folder.files() == 3);  // nothing beside
}

TEST_CASE("what cannot be written is an error, and leaves what was there") {
  const thaw::test::Folder folder;
  const cv::Mat image = thaw::test::picture(5, 7);
  CHECK_THROWS_MATCHES(write_image(image, folder / "a.xyz"), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("\".xyz\"")));
  CHECK_THROWS_AS(write_image({}, folder / "a.png"), thaw::DataError);
  CHECK_THROWS_AS(write_image(image, folder / "none/a.png"), thaw::FileError);
  CHECK(folder.files() == 0);
}
