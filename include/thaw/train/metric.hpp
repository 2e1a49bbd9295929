// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/data/fields.hpp>
#include <thaw/train/detail/check_mean.hpp>
#include <thaw/train/detail/shapes.hpp>

namespace thaw {

/// How the observations of many batches, or of several processes, become one.
enum class Reduce {
  sum,  ///< they add up
  cat,  ///< they are kept, and concatenated along dimension 0
};

/// Which way a number should go.
enum class Better {
  by_name,  ///< as its metric says, or else as a well-known name does ("accuracy", "mae"): see Monitor
  lower,
  higher,
};

/// How values per class become one.
enum class Average {
  macro,    ///< the mean over classes
  micro,    ///< from counts over all classes together
  each,     ///< no mean: one value per class, "name[cat]", or by number, "name[0]", where classes have no names
  samples,  ///< the mean over samples; multi-label only
};

/// A number, or one per class, for a pass over the data: two pure functions. MetricTotal holds what they observed.
///
/// Since a batch gives what adds up (sums and counts, not means), a pass gives the same however it is cut into batches.
struct Metric {
  std::string name = {};
  /// What one batch adds, on the batch's device, read by nobody. For Reduce::sum its shape is always the same; dtype is
  /// free, totals are kept in double. Throws DataError when the shapes do not fit.
  /// Of a model or a target with several tensors it gets them all; of others the one tensor, by its own type.
  std::function<at::Tensor(const Fields& output, const Fields& target)> observe = {};
  Reduce reduce = Reduce::sum;
  /// Of the total: a scalar, or [classes].
  std::function<at::Tensor(const at::Tensor& total)> value = {};
  Better better = Better::by_name;  ///< which way it should go, for what keeps the best (SaveBest) or stops (EarlyStop)
};

namespace detail {

/// total[0] / total[1]: NaN where nothing was counted.
at::Tensor ratio(const at::Tensor& total);

/// The index of the largest output along dimension 1; of one logit, whether it is > 0.
at::Tensor predicted_class(const at::Tensor& output);

/// Sum over the entries of `right` (bool), and how many: those whose target is `ignore_index` are left out.
at::Tensor right_of(const at::Tensor& right, const at::Tensor& target, const std::optional<std::int64_t>& ignore_index);

}  // namespace detail

/// A metric from `mean(output, target)`, the mean over one batch as a scalar tensor: the mean over the batches,
/// weighted by their samples, target.size(0). Right where the mean is one over samples. `better` says which way it
/// should go, which SaveBest and EarlyStop ask. Observing throws ConfigError when `mean` gives more than one number.
[[nodiscard]] Metric mean_metric(const std::string& name,
                                 std::function<at::Tensor(const at::Tensor& output, const at::Tensor& target)> mean,
                                 Better better = Better::by_name);

namespace detail {

std::string field_key(std::string name);
template <std::integral I>
std::size_t field_key(I place) {
  return static_cast<std::size_t>(place);
}
const at::Tensor& field(const Fields& fields, const std::string& name);
const at::Tensor& field(const Fields& fields, std::size_t i);

}  // namespace detail

/// A metric of one output of a model that returns several, by its name (of a dictionary) or its place, from 0 (of a
/// struct, a tuple, a list): `on("logits", accuracy())`, `on(0, accuracy())`. `on("logits", "label", accuracy())` picks
/// among several targets as well. Observing throws DataError where there is no such tensor.
template <class Output>
[[nodiscard]] Metric on(Output output, Metric metric) {
  metric.observe = [key = detail::field_key(std::move(output)), observe = std::move(metric.observe)](
                       const Fields& all, const Fields& target) { return observe(detail::field(all, key), target); };
  return metric;
}
template <class Output, class Target>
[[nodiscard]] Metric on(Output output, Target target, Metric metric) {
  metric.observe = [key = detail::field_key(std::move(target)), observe = std::move(metric.observe)](
                       const Fields& one, const Fields& all) { return observe(one, detail::field(all, key)); };
  return on(output, std::move(metric));
}

struct AccuracyOptions {
  std::optional<std::int64_t> ignore_index = -100;  ///< targets that do not count; by default those of CrossEntropy
};

/// Fraction of targets that are the index of the largest output along dimension 1; where that has one entry, a logit,
/// class 1 of two where it is > 0. `output` is [N, classes, ...], `target` [N, ...]: classes of samples, or of pixels.
/// NaN where every target is ignored. Source: fastai's accuracy.
[[nodiscard]] Metric accuracy(AccuracyOptions options = {});

/// Fraction of targets that are among the k largest outputs along dimension 1; shapes as for accuracy. Which of equal
/// outputs come first is LibTorch's choice. Throws ConfigError for k < 1. Source: fastai's top_k_accuracy.
[[nodiscard]] Metric top_k(std::int64_t k = 5, AccuracyOptions options = {});

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE at::Tensor ratio(const at::Tensor& total) {
  return total.select(0, 0) / total.select(0, 1);
}

THAW_INLINE at::Tensor predicted_class(const at::Tensor& output) {
  return output.size(1) == 1 ? output.squeeze(1).gt(0).to(at::kLong) : output.argmax(1);
}

THAW_INLINE at::Tensor right_of(const at::Tensor& right, const at::Tensor& target,
                                const std::optional<std::int64_t>& ignore_index) {
  if (!ignore_index)
    return at::stack(
        {right.sum(at::kDouble), at::full({}, static_cast<double>(right.numel()), right.options().dtype(at::kDouble))});
  const at::Tensor kept = target.ne(*ignore_index);
  return at::stack({right.logical_and(kept).sum(at::kDouble), kept.sum(at::kDouble)});
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE Metric mean_metric(const std::string& name,
                               std::function<at::Tensor(const at::Tensor& output, const at::Tensor& target)> mean,
                               Better better) {
  return {.name = name,
          .observe =
              [name, mean = std::move(mean)](const at::Tensor& output, const at::Tensor& target) {
                const at::Tensor value = mean(output, target).to(at::kDouble);
                detail::check_no_broadcast(mean, output, target, "metric \"" + name + "\"");
                if (value.numel() != 1)
                  throw ConfigError("metric \"" + name + "\"",
                                    "it gives " + std::to_string(value.numel()) + " values for a batch",
                                    "return one number: the mean over the samples");
                const auto samples = static_cast<double>(target.size(0));
                return at::stack({value.reshape({}) * samples, at::full({}, samples, value.options())});
              },
          .value = detail::ratio,
          .better = better};
}

}  // namespace thaw

namespace thaw::detail {

THAW_INLINE std::string field_key(std::string name) {
  return name;
}

THAW_INLINE const at::Tensor& field(const Fields& fields, const std::string& name) {
  return fields.at(name);
}

THAW_INLINE const at::Tensor& field(const Fields& fields, std::size_t i) {
  if (i >= fields.size())
    throw DataError("Fields", "there is no tensor " + std::to_string(i) + " of " + std::to_string(fields.size()),
                    "count from 0");
  return fields[i];
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE Metric accuracy(AccuracyOptions options) {
  return {.name = "accuracy",
          .observe =
              [options](const at::Tensor& output, const at::Tensor& target) {
                detail::check_class_shapes("accuracy", output.sizes(), target.sizes());
                return detail::right_of(detail::predicted_class(output).eq(target), target, options.ignore_index);
              },
          .value = detail::ratio,
          .better = Better::higher};
}

THAW_INLINE Metric top_k(std::int64_t k, AccuracyOptions options) {
  const std::string name = "top_" + std::to_string(k);
  if (k < 1) throw ConfigError(name, "k is " + std::to_string(k), "take at least 1");
  return {.name = name,
          .observe =
              [name, k, options](const at::Tensor& output, const at::Tensor& target) {
                detail::check_class_shapes(name, output.sizes(), target.sizes());
                if (k > output.size(1))
                  throw DataError(name, "the output has " + std::to_string(output.size(1)) + " classes",
                                  "take k at most as many");
                const at::Tensor best = std::get<1>(output.topk(k, 1, /*largest=*/true, /*sorted=*/false));
                return detail::right_of(best.eq(target.unsqueeze(1)).any(1), target, options.ignore_index);
              },
          .value = detail::ratio,
          .better = Better::higher};
}

}  // namespace thaw

#endif
