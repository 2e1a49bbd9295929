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

#include <thaw/find/lr_curve.hpp>

namespace thaw {

/// A suggested rate, and the smoothed loss that the curve has there (to mark it in a plot).
struct Suggestion {
  std::string name;  ///< "valley", "slide", "steep" or "minimum"
  double lr = 0;     ///< absolute rate of the last layer group
  double loss = 0;
};

// The four suggestions, from rates that rise and a loss for each. None where the curve is too short. All are fastai's
// (`callback/schedule.py`), which compares losses in float32; so do these, that near-ties fall alike.

/// Two thirds into the longest falling subsequence of the losses; the most robust of the four.
/// Quadratic in the number of steps. Source: Novak's valley, ESRI, by way of fastai.
[[nodiscard]] inline std::optional<double> suggest_valley(std::span<const double> lr, std::span<const double> losses) {
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

/// Slides a 15-step interval down from the end until the slopes at its ends agree; its left end. Needs 16 steps.
[[nodiscard]] inline std::optional<double> suggest_slide(std::span<const double> lr, std::span<const double> losses) {
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

/// Where the loss falls fastest per unit of log(rate). Needs two steps.
[[nodiscard]] inline std::optional<double> suggest_steep(std::span<const double> lr, std::span<const double> losses) {
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

/// A tenth of the rate at which the loss is lowest.
[[nodiscard]] inline std::optional<double> suggest_minimum(std::span<const double> lr, std::span<const double> losses) {
  if (lr.empty()) return std::nullopt;
  const auto lowest = std::ranges::min_element(losses, {}, [](double loss) { return static_cast<float>(loss); });
  return lr[static_cast<std::size_t>(lowest - losses.begin())] / 10;
}

/// The part of a curve that suggestions look at: from planned/10 on, without the last five steps, and cut before the
/// first loss that is not finite. After a NaN, the last five are those of the planned steps: fastai's sweep goes on to
/// its end there, where ours stops at once. Returns the first index and the length.
[[nodiscard]] inline std::pair<std::size_t, std::size_t> suggestion_window(const LRCurve& curve) {
  const auto first = static_cast<std::size_t>(curve.planned / 10);
  const bool ends_in_nan = !curve.smoothed.empty() && std::isnan(curve.smoothed.back());
  const std::size_t steps = std::max(curve.lr.size(), ends_in_nan ? static_cast<std::size_t>(curve.planned) : 0);
  const std::size_t end = std::min(curve.lr.size(), steps > 5 ? steps - 5 : 0);
  std::size_t last = std::min(first, end);
  while (last < end && std::isfinite(curve.smoothed[last])) ++last;
  return {std::min(first, last), last - std::min(first, last)};
}

/// Those of the four suggestions that this curve gives, in the order valley, slide, steep, minimum.
[[nodiscard]] inline std::vector<Suggestion> suggestions(const LRCurve& curve) {
  const auto [first, count] = suggestion_window(curve);
  const std::span lr = std::span(curve.lr).subspan(first, count);
  const std::span loss = std::span(curve.smoothed).subspan(first, count);
  const auto loss_at = [&](double rate) {
    const auto above = std::ranges::lower_bound(curve.lr, rate);
    const auto i = static_cast<std::size_t>(above - curve.lr.begin());
    return curve.smoothed[std::min(i, curve.smoothed.size() - 1)];
  };
  std::vector<Suggestion> found;
  const auto add = [&](const char* name, std::optional<double> rate) {
    if (rate) found.push_back({.name = name, .lr = *rate, .loss = loss_at(*rate)});
  };
  add("valley", suggest_valley(lr, loss));
  add("slide", suggest_slide(lr, loss));
  add("steep", suggest_steep(lr, loss));
  add("minimum", suggest_minimum(lr, loss));
  return found;
}

/// One suggestion by its name, if the curve gives it.
[[nodiscard]] inline std::optional<double> suggestion(const LRCurve& curve, std::string_view name) {
  for (const Suggestion& s : suggestions(curve))
    if (s.name == name) return s.lr;
  return std::nullopt;
}

}  // namespace thaw
