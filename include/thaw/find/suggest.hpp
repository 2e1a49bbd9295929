// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/find/before_rise.hpp>
#include <thaw/find/lr_curve.hpp>
#include <thaw/find/suggestion.hpp>

namespace thaw {

// The four suggestions, from rates that rise and a loss for each. None where the curve is too short. All are fastai's
// (`callback/schedule.py`), which compares losses in float32; so do these, that near-ties fall alike.

/// Two thirds into the longest falling subsequence of the losses; the most robust of the four.
/// Quadratic in the number of steps. Source: Novak's valley, ESRI, by way of fastai.
[[nodiscard]] std::optional<double> suggest_valley(std::span<const double> lr, std::span<const double> losses);

/// Slides a 15-step interval down from the end until the slopes at its ends agree; its left end. Needs 16 steps.
[[nodiscard]] std::optional<double> suggest_slide(std::span<const double> lr, std::span<const double> losses);

/// Where the loss falls fastest per unit of log(rate). Needs two steps.
[[nodiscard]] std::optional<double> suggest_steep(std::span<const double> lr, std::span<const double> losses);

/// A tenth of the rate at which the loss is lowest.
[[nodiscard]] std::optional<double> suggest_minimum(std::span<const double> lr, std::span<const double> losses);

/// The part of a curve that suggestions look at: from planned/10 on, without the last five steps, and cut before the
/// first loss that is not finite. After a NaN, the last five are those of the planned steps: fastai's sweep goes on to
/// its end there, where ours stops at once. Returns the first index and the length.
[[nodiscard]] std::pair<std::size_t, std::size_t> suggestion_window(const LRCurve& curve);

/// How far the curve's fall stands out of its noise, in [0, 1]: 1 - 3 sigma / fall, where sigma is the noise of one
/// loss and the fall is that of the medians of five losses, from the first to the lowest. 0 where the curve is flat:
/// then what looks for a fall answers noise.
[[nodiscard]] double confidence_of_fall(std::span<const double> loss);

/// What this curve suggests, in the order valley, slide, steep, minimum, before_rise; rules that it gives nothing for
/// are left out. fastai's four look for a fall, and share its confidence.
[[nodiscard]] std::vector<Suggestion> suggestions(const LRCurve& curve);

/// The suggestion to take: before_rise. None where the curve says nothing: where its loss never rises for good, or not
/// enough to stand out of the noise.
[[nodiscard]] std::optional<Suggestion> recommended(const LRCurve& curve);

/// The rate to take. Throws ConfigError where the curve says nothing: what cannot be known is not made up.
[[nodiscard]] double recommended_lr(const LRCurve& curve);

/// One suggestion by its name, if the curve gives it.
[[nodiscard]] std::optional<double> suggestion(const LRCurve& curve, std::string_view name);

}  // namespace thaw

#if THAW_DEFINES(find)

namespace thaw {

THAW_INLINE std::optional<double> suggest_valley(std::span<const double> lr, std::span<const double> losses) {
  if (lr.empty()) return std::nullopt;
  const std::vector<float> loss(losses.begin(), losses.end());
  std::vector<std::ptrdiff_t> length(loss.size(), 1);
  std::size_t end = 0;
  std::ptrdiff_t start = 0;
  for (std::size_t i = 1; i < loss.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      if (loss[i] < loss[j] && length[i] < length[j] + 1) length[i] = length[j] + 1;
      if (length[end] < length[i]) {
        end = i;
        start = static_cast<std::ptrdiff_t>(end) - length[end];
      }
    }
  const double section = static_cast<double>(static_cast<std::ptrdiff_t>(end) - start) / 3;
  const auto index = start + static_cast<std::ptrdiff_t>(section) + static_cast<std::ptrdiff_t>(section / 2);
  return lr[static_cast<std::size_t>(std::max<std::ptrdiff_t>(index, 0))];
}

THAW_INLINE std::optional<double> suggest_slide(std::span<const double> lr, std::span<const double> losses) {
  constexpr std::size_t interval = 15;
  constexpr float threshold = 0.005F;
  const std::size_t n = lr.size();
  if (n < interval + 1) return std::nullopt;
  const std::vector<float> loss(losses.begin(), losses.end());
  std::vector<float> slope(n);  // numpy.gradient: central differences, one-sided at the ends
  slope[0] = loss[1] - loss[0];
  slope[n - 1] = loss[n - 1] - loss[n - 2];
  for (std::size_t i = 1; i + 1 < n; ++i) slope[i] = (loss[i + 1] - loss[i - 1]) / 2;

  std::size_t left = n - 1 - interval, suggestion = left;
  while (std::abs(slope[left + interval] - slope[left]) > threshold) {
    suggestion = left;
    if (left == 0) break;
    --left;
  }
  return lr[suggestion];
}

THAW_INLINE std::optional<double> suggest_steep(std::span<const double> lr, std::span<const double> losses) {
  if (lr.size() < 2) return std::nullopt;
  const auto slope = [&](std::size_t i) {
    const auto log = [](double rate) { return std::log(static_cast<float>(rate)); };
    return (static_cast<float>(losses[i + 1]) - static_cast<float>(losses[i])) / (log(lr[i + 1]) - log(lr[i]));
  };
  std::size_t steepest = 0;
  for (std::size_t i = 1; i + 1 < lr.size(); ++i)
    if (slope(i) < slope(steepest)) steepest = i;
  return lr[steepest];
}

THAW_INLINE std::optional<double> suggest_minimum(std::span<const double> lr, std::span<const double> losses) {
  if (lr.empty()) return std::nullopt;
  const auto lowest = std::ranges::min_element(losses, {}, [](double loss) { return static_cast<float>(loss); });
  return lr[static_cast<std::size_t>(lowest - losses.begin())] / 10;
}

THAW_INLINE std::pair<std::size_t, std::size_t> suggestion_window(const LRCurve& curve) {
  const auto first = static_cast<std::size_t>(curve.planned / 10);
  const bool ends_in_nan = !curve.smoothed.empty() && std::isnan(curve.smoothed.back());
  const std::size_t steps = std::max(curve.lr.size(), ends_in_nan ? static_cast<std::size_t>(curve.planned) : 0);
  const std::size_t end = std::min(curve.lr.size(), steps > 5 ? steps - 5 : 0);
  std::size_t last = std::min(first, end);
  while (last < end && std::isfinite(curve.smoothed[last])) ++last;
  return {std::min(first, last), last - std::min(first, last)};
}

THAW_INLINE double confidence_of_fall(std::span<const double> loss) {
  if (loss.size() < 2) return 0;
  const std::vector<double> medians = detail::medians_ahead(loss);
  const auto lowest = std::ranges::min_element(medians);
  const auto until = static_cast<std::size_t>(lowest - medians.begin()) + 1;
  const double fall = medians.front() - *lowest;
  if (!(fall > 0)) return 0;
  return std::max(0.0, 1 - 3 * detail::noise_of(loss.first(std::max<std::size_t>(until, 2))) / fall);
}

THAW_INLINE std::vector<Suggestion> suggestions(const LRCurve& curve) {
  const auto [first, count] = suggestion_window(curve);
  const std::span lr = std::span(curve.lr).subspan(first, count);
  const std::span loss = std::span(curve.smoothed).subspan(first, count);
  const auto loss_at = [&](double rate) {
    const auto above = std::ranges::lower_bound(curve.lr, rate);
    const auto i = static_cast<std::size_t>(above - curve.lr.begin());
    return curve.smoothed[std::min(i, curve.smoothed.size() - 1)];
  };
  const double confidence =
      curve.loss.size() >= first + count ? confidence_of_fall(std::span(curve.loss).subspan(first, count)) : 0;
  std::vector<Suggestion> found;
  const auto add = [&](const char* name, std::optional<double> rate) {
    if (rate) found.push_back({.name = name, .lr = *rate, .loss = loss_at(*rate), .confidence = confidence});
  };
  add("valley", suggest_valley(lr, loss));
  add("slide", suggest_slide(lr, loss));
  add("steep", suggest_steep(lr, loss));
  add("minimum", suggest_minimum(lr, loss));
  if (std::optional<Suggestion> rise = suggest_before_rise(curve)) {
    rise->loss = loss_at(rise->lr);
    rise->recommended = true;
    found.push_back(*std::move(rise));
  }
  return found;
}

THAW_INLINE std::optional<Suggestion> recommended(const LRCurve& curve) {
  for (const Suggestion& each : suggestions(curve))
    if (each.recommended) return each;
  return std::nullopt;
}

THAW_INLINE double recommended_lr(const LRCurve& curve) {
  if (const std::optional<Suggestion> found = recommended(curve)) return found->lr;
  throw ConfigError("LRFinder",
                    "the curve gives no rate: in " + std::to_string(curve.lr.size()) + " of " +
                        std::to_string(curve.planned) + " steps the loss never rose for good",
                    "look at the plot; raise end_lr or steps, thaw something that the loss depends on, or give a rate");
}

THAW_INLINE std::optional<double> suggestion(const LRCurve& curve, std::string_view name) {
  for (const Suggestion& s : suggestions(curve))
    if (s.name == name) return s.lr;
  return std::nullopt;
}

}  // namespace thaw

#endif
