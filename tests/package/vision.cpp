// SPDX-License-Identifier: BSD-3-Clause
// thaw::vision brings OpenCV with it.
#include <cstdio>
#include <thaw/vision/aug_transforms.hpp>
#include <thaw/vision/resize.hpp>
#include <thaw/vision/write_image.hpp>

int main() {
  thaw::vision::Sample sample{.image = cv::Mat(40, 60, CV_8UC3, cv::Scalar(10, 20, 30))};
  thaw::vision::Random random(1);
  const thaw::vision::Transforms transforms{thaw::vision::Resize{24}, thaw::vision::aug_transforms()};
  transforms(sample, random);
  const bool good = sample.image.size() == cv::Size(24, 24) && !thaw::vision::encoded(sample.image).empty();
  std::puts(good ? "ok" : "not resized");
  return good ? 0 : 1;
}
