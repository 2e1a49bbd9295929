// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <thaw/core/mixed_seed.hpp>
#include <thaw/vision/random.hpp>
#include <thaw/vision/write_image.hpp>
#include <vector>

// Images on which the right answer is known: shapes of random colours, sizes and places on a noisy background.
namespace example {

inline constexpr std::array shape_names{"disc", "ring", "square", "triangle", "cross"};

/// Draws one shape, in any colour, and into the mask which it is (1 to 5).
inline void draw_shape(std::size_t shape, cv::Mat& image, cv::Mat& mask, thaw::vision::Random& random) {
  const double size = image.cols * random.uniform(0.1, 0.2);
  const cv::Point2d middle(random.uniform(size, image.cols - size), random.uniform(size, image.rows - size));
  const double turn = random.uniform(0, CV_PI);
  const auto at = [&](double angle, double radius) {
    return cv::Point(middle + radius * cv::Point2d(std::cos(turn + angle), std::sin(turn + angle)));
  };
  cv::Mat here = cv::Mat::zeros(image.size(), CV_8U);
  const auto polygon = [&](const std::vector<cv::Point>& corners) { cv::fillConvexPoly(here, corners, 255); };
  const auto radius = static_cast<int>(std::lround(size));
  switch (shape) {
    case 0:
      cv::circle(here, middle, radius, 255, cv::FILLED);
      break;
    case 1:
      cv::circle(here, middle, radius, 255, std::max(2, radius / 3));
      break;
    case 2:
      polygon({at(0, size), at(CV_PI / 2, size), at(CV_PI, size), at(3 * CV_PI / 2, size)});
      break;
    case 3:
      polygon({at(0, size), at(2 * CV_PI / 3, size), at(4 * CV_PI / 3, size)});
      break;
    default:
      cv::line(here, at(0, size), at(CV_PI, size), 255, std::max(2, radius / 3));
      cv::line(here, at(CV_PI / 2, size), at(3 * CV_PI / 2, size), 255, std::max(2, radius / 3));
  }
  image.setTo(cv::Scalar(random.uniform(0, 255), random.uniform(0, 255), random.uniform(0, 255)), here);
  mask.setTo(static_cast<double>(shape + 1), here);
}

/// Writes `n` images, for each a mask, and list.csv with a column of the shapes that it shows; once, then gives the
/// folder back. `least` to `most` shapes to an image, each of another kind.
inline std::filesystem::path shapes_folder(const std::filesystem::path& out, std::int64_t n, int size, int least,
                                           int most, std::uint64_t seed) {
  const std::filesystem::path folder = out / ("shapes-" + std::to_string(n) + "-" + std::to_string(size));
  if (std::filesystem::exists(folder)) return folder;
  const std::filesystem::path beside = folder.string() + ".tmp";
  std::filesystem::create_directories(beside / "images");
  std::filesystem::create_directories(beside / "masks");
  std::ofstream list(beside / "list.csv");
  list << "image,shapes\n";
  for (std::int64_t i = 0; i < n; ++i) {
    thaw::vision::Random random(thaw::seed_of(seed, i));
    const double shade = random.uniform(60, 200);
    cv::Mat image(size, size, CV_8UC3), mask = cv::Mat::zeros(size, size, CV_8U);
    image.forEach<cv::Vec3b>([&](cv::Vec3b& pixel, const int* at) {  // noise by its place: the same on every machine
      thaw::vision::Random noise(thaw::seed_of(seed, (i * size + at[0]) * size + at[1]));
      for (int c = 0; c < 3; ++c) pixel[c] = cv::saturate_cast<std::uint8_t>(shade + noise.uniform(-25, 25));
    });
    std::array<std::size_t, shape_names.size()> kinds{0, 1, 2, 3, 4};
    for (std::size_t k = kinds.size(); k > 1; --k)
      std::swap(kinds[k - 1], kinds[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(k)))]);
    const std::int64_t count = least + random.below(most - least + 1);
    const std::string name = std::to_string(i) + ".png";
    list << "images/" << name << ',';
    for (std::int64_t k = 0; k < count; ++k) {
      draw_shape(kinds[static_cast<std::size_t>(k)], image, mask, random);
      list << (k == 0 ? "" : " ") << shape_names.at(kinds[static_cast<std::size_t>(k)]);
    }
    list << '\n';
    thaw::vision::write_image(image, beside / "images" / name);
    thaw::vision::write_image(mask, beside / "masks" / name);
  }
  list.close();
  std::filesystem::rename(beside, folder);
  return folder;
}

}  // namespace example
