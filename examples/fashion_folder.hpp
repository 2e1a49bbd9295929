// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <opencv2/core.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <thaw/vision/image_list.hpp>
#include <thaw/vision/write_image.hpp>

#include "fashion_mnist.hpp"

namespace example {

/// The first `n` images of Fashion-MNIST's "train" or "t10k" as most data sets come: PNG files, a folder per class.
/// Made once; returns the folder.
inline std::filesystem::path fashion_folder(const std::filesystem::path& data, const std::filesystem::path& out,
                                            const std::string& part, std::int64_t n) {
  const std::filesystem::path folder = out / ("fashion-" + part + "-" + std::to_string(n));
  if (std::filesystem::exists(folder)) return folder;
  const FashionMnist images = fashion_mnist(data, part, n);
  const std::filesystem::path beside = folder.string() + ".tmp";
  for (std::int64_t i = 0; i < images.images.size(0); ++i) {
    const auto label = images.labels[i].item<std::int64_t>();
    const std::filesystem::path of_class = beside / fashion_classes.at(static_cast<std::size_t>(label));
    std::filesystem::create_directories(of_class);
    const cv::Mat image(28, 28, CV_8U, images.images[i][0].data_ptr());
    thaw::vision::write_image(image, of_class / (std::to_string(i) + ".png"));
  }
  std::filesystem::rename(beside, folder);
  return folder;
}

}  // namespace example
