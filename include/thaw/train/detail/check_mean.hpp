// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a loss or a metric of the user's own must be: a mean over samples, each output against its own target.

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/data/fields.hpp>
#include <thaw/train/detail/shapes.hpp>

namespace thaw::detail {

using MeanFunction = std::function<at::Tensor(const Fields& output, const Fields& target)>;

/// Throws ConfigError where `loss` of a few of these samples is the sum of what it gives for each alone: rates,
/// accumulated gradients and validation all take it for a mean. And what check_no_broadcast throws.
void check_mean(const MeanFunction& loss, const Fields& output, const Fields& target, const std::string& where);

/// Throws DataError where output or target is [N, 1] and `mean` compares every one with every other, as LibTorch's
/// broadcasting does: known by what it gives for samples alone, since it may as well squeeze what has to be.
void check_no_broadcast(const MeanFunction& mean, const Fields& output, const Fields& target, const std::string& where);

}  // namespace thaw::detail

#if THAW_DEFINES(train)

namespace thaw::detail {

/// Of up to four samples: what a function gives for all of them, and the mean of what it gives for each.
struct OnFew {
  Fields output, target;
  double together, alone;
  double samples;
};

[[nodiscard]] inline bool is_near(double a, double b) {
  return std::abs(a - b) <= 1e-3 * std::max(std::abs(a), std::abs(b));
}

/// None where samples cannot be told apart, or the function does not take so few.
[[nodiscard]] inline std::optional<OnFew> on_few(const MeanFunction& f, const Fields& output, const Fields& target) {
  if (output.empty() || target.empty() || output[0].dim() == 0) return std::nullopt;
  const std::int64_t all = output[0].size(0), samples = std::min<std::int64_t>(all, 4);
  for (const Fields* side : {&output, &target})
    for (const at::Tensor& tensor : *side)
      if (tensor.dim() == 0 || tensor.size(0) != all) return std::nullopt;
  if (samples < 2) return std::nullopt;
  const auto rows = [](const Fields& fields, std::int64_t from, std::int64_t to) {
    return fields.map([&](const at::Tensor& tensor) { return tensor.slice(0, from, to); });
  };
  const c10::NoGradGuard no_grad;
  const RandomState random;
  OnFew few{rows(output, 0, samples), rows(target, 0, samples), 0, 0, static_cast<double>(samples)};
  try {
    few.together = f(few.output, few.target).item<double>();
    for (std::int64_t i = 0; i < samples; ++i)
      few.alone += f(rows(output, i, i + 1), rows(target, i, i + 1)).item<double>() / few.samples;
  } catch (const std::exception&) {
    return std::nullopt;
  }
  return few;
}

THAW_INLINE void check_no_broadcast(const MeanFunction& mean, const Fields& output, const Fields& target,
                                    const std::string& where) {
  if (output.size() != 1 || target.size() != 1) return;
  const at::Tensor &o = output[0], &t = target[0];
  const auto is_column = [](const at::Tensor& tensor) { return tensor.dim() > 1 && tensor.size(-1) == 1; };
  if (!is_column(o) && !is_column(t)) return;
  const std::optional<OnFew> few = on_few(mean, output, target);
  if (!few || is_near(few->together, few->alone)) return;
  const auto is_right = [&](const at::Tensor& a, const at::Tensor& b) {
    try {
      const c10::NoGradGuard no_grad;
      const RandomState random;
      const auto value = mean(a, b).item<double>();
      return is_near(value, few->alone) || is_near(value, few->alone * few->samples);
    } catch (const std::exception&) {  // it does not take them so
      return false;
    }
  };
  const at::Tensor &a = few->output[0], &b = few->target[0];
  if ((is_column(a) && is_right(a.squeeze(-1), b)) || (is_column(b) && is_right(a, b.squeeze(-1))))
    throw DataError(where,
                    "of an output of " + sizes_text(o.sizes()) + " and targets of " + sizes_text(t.sizes()) +
                        " it compares every pair: LibTorch broadcasts them",
                    "give both one shape there: squeeze(-1) the one, or unsqueeze(-1) the other");
}

THAW_INLINE void check_mean(const MeanFunction& loss, const Fields& output, const Fields& target,
                            const std::string& where) {
  check_no_broadcast(loss, output, target, where);
  const std::optional<OnFew> few = on_few(loss, output, target);
  if (few && is_near(few->together, few->alone * few->samples) && !is_near(few->together, few->alone))
    throw ConfigError("loss", "it is the sum over a batch's samples, not their mean",
                      "divide it by the number of samples: loss / output.size(0)");
}

}  // namespace thaw::detail

#endif
