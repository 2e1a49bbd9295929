// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>
#include <opencv2/core.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <thaw/vision/detail/strongest.hpp>

namespace thaw::vision::detail {

/// From images to the maps of a part.
using PartRun = std::function<at::Tensor(const at::Tensor& images)>;

/// [N, H, W]: how much the activation at each image's place depends on each of its pixels; where it does not, since an
/// activation function has reached its limit there, how much all channels at that place do.
[[nodiscard]] inline at::Tensor sensitivity(const PartRun& run, const at::Tensor& images, std::int64_t channel,
                                            const std::vector<StrongestPlace>& places) {
  const at::Tensor x = images.detach().clone().requires_grad_();
  const at::Tensor maps = run(x);
  at::Tensor own = at::zeros({}, maps.options()), all = own;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const at::Tensor here = maps[static_cast<std::int64_t>(i)].select(2, places[i].x).select(1, places[i].y);  // [C]
    own = own + here[channel];
    all = all + here.sum();
  }
  const auto size_of_gradient = [&](const at::Tensor& of, bool more) {
    return torch::autograd::grad({of}, {x}, {}, /*retain_graph=*/more)[0].abs().sum(1).to(at::kCPU, at::kDouble);
  };
  const at::Tensor of_own = size_of_gradient(own, true), of_all = size_of_gradient(all, false);
  const at::Tensor flat = of_own.flatten(1).sum(1).eq(0).reshape({-1, 1, 1});
  return at::where(flat, of_all, of_own);
}

/// The shortest span [first, last] that holds this share of the sum; all where the sum is 0. The first of equally short
/// ones.
[[nodiscard]] inline std::pair<int, int> shortest_span(const at::Tensor& values, double share) {
  const at::Tensor v = values.contiguous();
  const auto* at = v.const_data_ptr<double>();
  const int n = static_cast<int>(v.numel());
  const double wanted = share * v.sum().item<double>() * (1 - 1e-12);  // sums are rounded
  std::pair<int, int> best{0, n - 1};
  if (!(wanted > 0)) return best;
  double held = 0;
  for (int first = 0, end = 0; first < n; held -= at[first++]) {
    while (end < n && held < wanted) held += at[end++];
    if (held < wanted) break;
    if (end - 1 - first < best.second - best.first) best = {first, end - 1};
  }
  return best;
}

/// The rows and columns of a picture [H, W] that hold this share of it each.
[[nodiscard]] inline cv::Rect box_around(const at::Tensor& picture, double share) {
  const auto [top, bottom] = shortest_span(picture.sum(1), share);
  const auto [left, right] = shortest_span(picture.sum(0), share);
  return {left, top, right - left + 1, bottom - top + 1};
}

/// Makes squares of one size of them, about the same middles but within the image: of their longer sides the middle
/// one.
inline void make_alike(const std::vector<cv::Rect*>& boxes, cv::Size image) {
  std::vector<int> sides;
  sides.reserve(boxes.size());
  for (const cv::Rect* box : boxes) sides.push_back(std::max(box->width, box->height));
  if (sides.empty()) return;
  std::ranges::sort(sides);
  const int side = sides[sides.size() / 2];
  const int width = std::min(side, image.width), height = std::min(side, image.height);
  const auto placed = [](int from, int length, int now, int most) {
    return std::clamp(from + (length - now) / 2, 0, most - now);
  };
  for (cv::Rect* box : boxes)
    *box = {placed(box->x, box->width, width, image.width), placed(box->y, box->height, height, image.height), width,
            height};
}

}  // namespace thaw::vision::detail
