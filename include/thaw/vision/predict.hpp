// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <opencv2/core.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/data/fields.hpp>
#include <thaw/vision/image_list.hpp>

namespace thaw::vision {

/// What is to be predicted of an image.
enum class Predict : std::int8_t {
  label,      ///< one class: [B] integers, for cross_entropy
  labels,     ///< any classes: [B, classes] of 0 and 1, for binary_cross_entropy_with_logits
  mask,       ///< the class of each pixel: [B, H, W] integers
  keypoints,  ///< places: [B, K, 2] pixels x, y of the transformed image
  values,     ///< numbers: [B, V]
  /// Boxes, any number of them: "boxes", [B, K, 4] edges x1, y1, x2, y2 in pixels of the transformed image, and
  /// "labels", [B, K] integers, their classes. K is the most that an image of the batch has; an image with fewer has
  /// boxes of class -1 behind its own, all of whose edges are 0.
  boxes,
};

/// What is drawn on an image, and moves with it.
[[nodiscard]] constexpr bool is_drawn(Predict predict) {
  return predict == Predict::mask || predict == Predict::keypoints || predict == Predict::boxes;
}

/// Throws DataError for an image of the list that lacks what is to be predicted, or has a class that is not in the
/// list's classes.
inline void check_targets(const ImageList& images, Predict predict) {
  const auto classes = std::ssize(images.classes);
  for (const ImageItem& item : images.items) {
    const auto require = [&](bool holds, const std::string& problem, const char* fix) {
      if (!holds) throw DataError(item.path.string(), problem, fix);
    };
    const auto as_first = [&](const auto& of_item, const auto& of_first, const std::string& what) {
      require(of_item.size() == of_first.size() && !of_first.empty(),
              std::to_string(of_item.size()) + what + ", and the first image has " + std::to_string(of_first.size()),
              "give each image as many, at least one");
    };
    const auto known = [&](std::int64_t label) { return label >= 0 && label < classes; };
    require(std::ranges::all_of(item.labels, known), "has a label that is not in classes",
            "number classes from 0, and name them all");
    if (predict == Predict::label)
      require(item.labels.size() == 1, std::to_string(item.labels.size()) + " labels where one is to be predicted",
              "give it one, or set predict to Predict::labels");
    if (predict == Predict::labels || predict == Predict::mask || predict == Predict::boxes)
      require(classes > 0, "there are no classes", "name them in the list's classes");
    if (predict == Predict::mask) require(!item.mask.empty(), "has no mask", "make the list by with_masks");
    if (predict == Predict::keypoints) as_first(item.keypoints, images.items[0].keypoints, " keypoints");
    for (const Box& box : item.boxes) {
      require(known(box.label), "has a box with a label that is not in classes", "number classes from 0, and name all");
      require(box.x2 > box.x1 && box.y2 > box.y1, "has a box without area",
              "give the edges x1, y1, x2, y2 in pixels, x1 and y1 being the smaller ones: not a width and a height");
    }
    if (predict == Predict::values) as_first(item.values, images.items[0].values, " values");
  }
}

namespace detail {

/// Of all images in the order of the list; undefined for what changes with the image.
[[nodiscard]] inline at::Tensor known_targets(const ImageList& images, Predict predict) {
  at::Tensor all;
  const std::int64_t n = images.size();
  if (predict == Predict::label) all = at::empty({n}, at::kLong);
  if (predict == Predict::labels) all = at::zeros({n, std::ssize(images.classes)}, at::kFloat);
  if (predict == Predict::values) all = at::empty({n, std::ssize(images.items[0].values)}, at::kFloat);
  for (std::int64_t i = 0; i < n; ++i) {
    const ImageItem& item = images.items[static_cast<std::size_t>(i)];
    if (predict == Predict::label) all.mutable_data_ptr<std::int64_t>()[i] = item.labels[0];
    if (predict == Predict::labels)
      for (const std::int64_t label : item.labels) all.mutable_data_ptr<float>()[i * all.size(1) + label] = 1;
    if (predict == Predict::values) std::ranges::copy(item.values, all.mutable_data_ptr<float>() + i * all.size(1));
  }
  return all;
}

/// What follows is done by plain loops: workers are threads already, and LibTorch's would only be more of them.
[[nodiscard]] inline at::Tensor rows(const at::Tensor& all, const std::vector<std::int64_t>& numbers,
                                     const at::TensorOptions& options) {
  std::vector<std::int64_t> sizes = all.sizes().vec();
  sizes[0] = std::ssize(numbers);
  at::Tensor result = at::empty(sizes, options.dtype(all.scalar_type()));
  const std::size_t row = all.nbytes() / static_cast<std::size_t>(all.size(0));
  auto* to = static_cast<std::byte*>(result.mutable_data_ptr());
  for (const std::int64_t i : numbers)
    to = std::copy_n(static_cast<const std::byte*>(all.const_data_ptr()) + static_cast<std::size_t>(i) * row, row, to);
  return result;
}

inline void write_mask(const cv::Mat& mask, std::int64_t* to) {
  for (int y = 0; y < mask.rows; ++y) to = std::copy_n(mask.ptr<std::uint8_t>(y), mask.cols, to);
}

inline void write_points(const std::vector<cv::Point2d>& points, float* to) {
  for (const cv::Point2d& point : points) {
    *to++ = static_cast<float>(point.x);
    *to++ = static_cast<float>(point.y);
  }
}

/// As Predict::boxes says.
[[nodiscard]] inline Fields box_targets(const std::vector<std::vector<Box>>& all, const at::TensorOptions& options) {
  std::size_t most = 0;
  for (const auto& boxes : all) most = std::max(most, boxes.size());
  const auto n = std::ssize(all), k = static_cast<std::int64_t>(most);
  at::Tensor edges = at::empty({n, k, 4}, options.dtype(at::kFloat)),
             labels = at::empty({n, k}, options.dtype(at::kLong));
  auto* edge = edges.mutable_data_ptr<float>();
  auto* label = labels.mutable_data_ptr<std::int64_t>();
  for (const auto& boxes : all)
    for (std::size_t i = 0; i < most; ++i) {
      const Box box = i < boxes.size() ? boxes[i] : Box{.label = -1};
      for (const double each : {box.x1, box.y1, box.x2, box.y2}) *edge++ = static_cast<float>(each);
      *label++ = box.label;
    }
  return std::map<std::string, at::Tensor>{{"boxes", edges}, {"labels", labels}};
}

}  // namespace detail

}  // namespace thaw::vision
