// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/data/source.hpp>

namespace thaw::vision::detail {

/// Where in the maps of a part a channel is excited most.
struct StrongestPlace {
  std::int64_t sample = 0, y = 0, x = 0;
  double activation = 0;
};

/// The places of all channels of a part, batch by batch, one for each image.
class StrongestPlaces {
 public:
  explicit StrongestPlaces(std::int64_t most) : most_(most) {}

  /// `maps`: [N, C, h, w] of the next images.
  void add(const at::Tensor& maps) {
    auto [values, places] = maps.flatten(2).max(2);  // [N, C]
    values = values.to(at::kCPU, at::kDouble);
    const at::Tensor samples = (at::arange(seen_, seen_ + maps.size(0), at::kLong)).unsqueeze(1).expand_as(values);
    at::Tensor found =
        at::stack({samples, places.cpu().div(maps.size(3), "floor"), places.cpu().remainder(maps.size(3))});
    if (seen_ == 0) sum_ = at::zeros_like(values[0]), squares_ = at::zeros_like(values[0]);
    sum_ += values.sum(0), squares_ += values.square().sum(0);
    if (seen_ > 0) values = at::cat({values_, values}), found = at::cat({found_, found}, 1);
    seen_ += maps.size(0);
    const auto [sorted, order] = at::sort(values, /*stable=*/true, /*dim=*/0, /*descending=*/true);
    values_ = sorted.slice(0, 0, most_);
    found_ = found.gather(1, order.slice(0, 0, most_).unsqueeze(0).expand({3, -1, -1}));
  }

  [[nodiscard]] std::int64_t channels() const { return values_.size(1); }

  /// Of a channel, the strongest first.
  [[nodiscard]] std::vector<StrongestPlace> of(std::int64_t channel) const {
    std::vector<StrongestPlace> all;
    for (std::int64_t i = 0; i < values_.size(0); ++i) {
      const auto entry = [&](int row) { return found_[row][i][channel].item<std::int64_t>(); };
      all.push_back(
          {.sample = entry(0), .y = entry(1), .x = entry(2), .activation = values_[i][channel].item<double>()});
    }
    return all;
  }

  /// The channels whose strongest images lie farthest above the mean of all, in standard deviations.
  [[nodiscard]] std::vector<std::int64_t> outstanding(std::int64_t most) const {
    const auto n = static_cast<double>(seen_);
    const at::Tensor mean = sum_ / n, deviation = (squares_ / n - mean.square()).clamp_min(0).sqrt();
    const at::Tensor above = at::where(deviation.gt(1e-6), (values_.mean(0) - mean) / deviation, 0.0);
    const at::Tensor order = std::get<1>(at::sort(above, /*stable=*/true, /*dim=*/0, /*descending=*/true));
    std::vector<std::int64_t> all;
    for (std::int64_t i = 0; i < std::min(most, channels()); ++i) all.push_back(order[i].item<std::int64_t>());
    return all;
  }

  [[nodiscard]] std::vector<std::int64_t> checked(const std::string& where, std::vector<std::int64_t> wanted) const {
    for (const std::int64_t channel : wanted)
      if (channel < 0 || channel >= channels())
        throw ConfigError(where, "channel " + std::to_string(channel) + " of " + std::to_string(channels()),
                          "channels are numbered from 0");
    return wanted;
  }

  /// All samples with a place of one of these channels, in ascending order.
  [[nodiscard]] std::vector<std::int64_t> samples_of(const std::vector<std::int64_t>& wanted) const {
    std::set<std::int64_t> all;
    for (const std::int64_t channel : wanted)
      for (const StrongestPlace& place : of(channel)) all.insert(place.sample);
    return {all.begin(), all.end()};
  }

 private:
  std::int64_t most_, seen_ = 0;
  at::Tensor values_;         // [most, C], descending
  at::Tensor found_;          // [3, most, C]: sample, y, x
  at::Tensor sum_, squares_;  // [C]: over all images' strongest
};

/// Calls `see(images, first)` for each batch in the source's own order, with the number of its first sample, until that
/// says false.
template <class See>
void see_images(const std::string& where, const DataSource& source, See see) {
  if (!source || source.indexed() == nullptr)
    throw DataError(where, "the source does not number its samples", "give an ImageSource or InMemory");
  BatchStream next = source.indexed()->in_order(0);
  std::int64_t first = 0;
  for (bool more = true; more;) {
    const std::optional<Batch> batch = next();
    if (!batch) break;
    const at::Tensor& images = batch->input;
    if (images.dim() != 4)
      throw DataError(where, "an input of " + std::to_string(images.dim()) + " dimensions",
                      "give a source of images [N, C, H, W]");
    more = see(images, first);
    first += images.size(0);
  }
  if (first == 0) throw DataError(where, "the source is empty", "give it at least one batch");
}

/// [.., C, H, W], the inputs of these samples, in ascending order, on the CPU. Throws DataError where they differ in
/// size.
[[nodiscard]] inline at::Tensor gathered(const std::string& where, const DataSource& source,
                                         const std::vector<std::int64_t>& samples) {
  std::vector<at::Tensor> all;
  see_images(where, source, [&, next = samples.begin()](const at::Tensor& images, std::int64_t first) mutable {
    for (; next != samples.end() && *next < first + images.size(0); ++next) {
      all.push_back(images[*next - first].to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true));
      if (all.back().sizes() != all.front().sizes())
        throw DataError(where, "images differ in size from batch to batch", "bring all to one size");
    }
    return next != samples.end();
  });
  return at::stack(all);
}

}  // namespace thaw::vision::detail
