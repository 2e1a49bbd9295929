// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/train/history.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/train/world.hpp>

namespace thaw {

/// What a metric observed so far: the state of one pass. It stays on the device of the batches, in double, and is read
/// once, by `values`.
///
///     thaw::MetricTotal total{thaw::accuracy()};
///     for (...) total.add(output, target);
///     const double accuracy = total.values()[0].value;
class MetricTotal {
 public:
  explicit MetricTotal(Metric metric);

  /// One batch, or a stand-in that does not count. Throws DataError when the shapes do not fit the metric; waits for no
  /// device.
  void add(const Fields& output, const Fields& target, bool counts = true);

  /// Another's total: that of another process, say.
  void merge(const at::Tensor& total);

  /// Goes on as the total of all processes.
  void merge_over(const World& world);

  /// Of all batches, on their device. Throws DataError when there was none.
  [[nodiscard]] at::Tensor total() const;

  /// The metric's value, on the device, in double: a scalar, or [classes].
  [[nodiscard]] at::Tensor value() const;

  /// The metric's value by name; one per class is "name[0]", "name[1]", ... Waits for the device.
  [[nodiscard]] std::vector<MetricValue> values() const { return named(value()); }

  /// What `value` gave, by name. With a name for each class, one per class is "name[cat]", "name[dog]", ...
  [[nodiscard]] std::vector<MetricValue> named(const at::Tensor& value,
                                               const std::vector<std::string>& classes = {}) const;

  /// Forgets every batch.
  void reset() { parts_.clear(); }

  [[nodiscard]] const Metric& metric() const { return metric_; }

 private:
  Metric metric_;
  std::vector<at::Tensor> parts_;  // Reduce::sum: at most one
};

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw {

THAW_INLINE MetricTotal::MetricTotal(Metric metric) : metric_(std::move(metric)) {
  if (!metric_.observe || !metric_.value)
    throw ConfigError("metric \"" + metric_.name + "\"", "it lacks observe or value",
                      "give both, or make it with thaw::mean_metric");
}

THAW_INLINE void MetricTotal::add(const Fields& output, const Fields& target, bool counts) {
  const c10::NoGradGuard no_grad;
  const at::Tensor seen = metric_.observe(output, target);
  merge(counts ? seen : metric_.reduce == Reduce::cat ? seen.slice(0, 0, 0) : at::zeros_like(seen));
}

THAW_INLINE void MetricTotal::merge(const at::Tensor& total) {
  const c10::NoGradGuard no_grad;
  if (metric_.reduce == Reduce::cat || parts_.empty())
    parts_.push_back(total.to(at::kDouble, /*non_blocking=*/false, /*copy=*/true));
  else
    parts_[0].add_(total);
}

THAW_INLINE void MetricTotal::merge_over(const World& world) {
  if (world.is_single()) return;
  at::Tensor all = total();
  if (metric_.reduce == Reduce::cat)
    all = world.gather(all);
  else
    world.sum(all);
  parts_ = {all};
}

THAW_INLINE at::Tensor MetricTotal::total() const {
  if (parts_.empty())
    throw DataError("metric \"" + metric_.name + "\"", "it has seen no batch", "add at least one before its value");
  return parts_.size() == 1 ? parts_[0] : at::cat(parts_);
}

THAW_INLINE at::Tensor MetricTotal::value() const {
  const c10::NoGradGuard no_grad;
  return metric_.value(total()).to(at::kDouble);
}

THAW_INLINE std::vector<MetricValue> MetricTotal::named(const at::Tensor& value,
                                                        const std::vector<std::string>& classes) const {
  const at::Tensor numbers = value.to(at::kCPU, at::kDouble).contiguous();
  const auto name_of = [&](std::int64_t i) {
    return std::ssize(classes) == numbers.numel() ? classes[static_cast<std::size_t>(i)] : std::to_string(i);
  };
  std::vector<MetricValue> values;
  values.reserve(static_cast<std::size_t>(numbers.numel()));
  for (std::int64_t i = 0; i < numbers.numel(); ++i)
    values.push_back({.name = numbers.dim() == 0 ? metric_.name : metric_.name + "[" + name_of(i) + "]",
                      .value = numbers.const_data_ptr<double>()[i]});
  return values;
}

}  // namespace thaw

#endif
