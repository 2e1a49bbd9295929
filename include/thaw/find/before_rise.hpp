// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <optional>
#include <span>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/find/lr_curve.hpp>
#include <thaw/find/suggestion.hpp>

namespace thaw {

namespace detail {

double median(std::vector<double> values);

/// The median of each loss and the four that follow it, so that one bad batch is no rise.
std::vector<double> medians_ahead(std::span<const double> loss);

/// How much losses of neighbouring steps differ by chance: the standard deviation of one, from the median difference,
/// which neither a trend nor a few outliers move. 1.4826 makes it right for a normal distribution.
double noise_of(std::span<const double> loss);

/// The lowest of those that are finite; infinity where none is.
double lowest_of(std::span<const double> loss);

/// Where the last loss is that is no higher than `bound`; none where all are higher, or no numbers.
std::optional<std::size_t> last_within(std::span<const double> loss, double bound);

/// How much of the held-out losses comes before the first step that exploded: with a training loss of more than four
/// times the lowest held-out loss so far, and more than twice the largest of the five training losses before it. Such
/// a step has broken something, even where what is held out looks well again some steps later.
std::size_t held_out_before_explosion(const LRCurve& curve);

}  // namespace detail

/// The article's rule: just before the loss starts to rise. Half of the last rate before it does, since the sweep was
/// at that rate for a step, and training will be for epochs.
///
/// Over training losses as they came: m_i is the median of loss i and the four after it, b the lowest m_i, and sigma
/// the noise of one loss, as far as the lowest point (or over the first 20 steps). The loss has risen where m_i leaves
/// the band b + 3 sigma for good. Its confidence is
///
///     1 - 3 sigma / (highest m_i behind it - b)
///
/// in (0, 1): how far the rise stands out of the noise. A loss that is not finite has risen, by any amount. None where
/// the loss never rises for good, and where there are fewer than 20 losses.
///
/// fastai's four rules look for a fall. A pretrained network that has just been thawed has none: its loss is flat, and
/// then rises. Source: fastai's course and its article, "a rate just before the loss starts to rise".
[[nodiscard]] std::optional<Suggestion> suggest_before_rise(std::span<const double> lr, std::span<const double> loss);

/// The same over the losses of held-out samples, which tell more: a small training set is learnt by heart within a
/// sweep, so that its loss goes on falling at rates that ruin all else. They are the same samples each time, so there
/// is no noise of batches: the loss has risen where it is for good more than a tenth of |b| above its lowest value b.
/// None where it never rises for good (`ends_badly`: the sweep stopped there, as the training loss exploded), where the
/// lowest rate raises it already, and where there are fewer than five losses.
[[nodiscard]] std::optional<Suggestion> suggest_before_held_out_rise(std::span<const double> lr,
                                                                     std::span<const double> loss, bool ends_badly);

/// How fast a stage may train that can go back on what it did (KeepBest::line): a third of the last rate at which the
/// held-out loss is less than twice its lowest value, before any step exploded. About ten times what before_rise says
/// of a network that was just thawed, and too much for a stage that has to end where it ends. None where the held-out
/// loss was not measured, or never doubles in a sweep that did not end badly.
[[nodiscard]] std::optional<Suggestion> suggest_edge(const LRCurve& curve);

/// By the curve's held-out losses before any step exploded, or else by its training losses.
[[nodiscard]] std::optional<Suggestion> suggest_before_rise(const LRCurve& curve);

}  // namespace thaw

#if THAW_DEFINES(find)

namespace thaw::detail {

THAW_INLINE double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::ranges::nth_element(values, middle);
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

THAW_INLINE std::vector<double> medians_ahead(std::span<const double> loss) {
  std::vector<double> result;
  for (std::size_t i = 0; i < loss.size(); ++i) {
    const std::span<const double> window = loss.subspan(i, std::min<std::size_t>(5, loss.size() - i));
    result.push_back(median({window.begin(), window.end()}));
  }
  return result;
}

THAW_INLINE double noise_of(std::span<const double> loss) {
  std::vector<double> differences;
  for (std::size_t i = 0; i + 1 < loss.size(); ++i) differences.push_back(std::abs(loss[i + 1] - loss[i]));
  return 1.4826 * median(std::move(differences)) / std::numbers::sqrt2;
}

THAW_INLINE double lowest_of(std::span<const double> loss) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const double each : loss) lowest = std::min(lowest, std::isfinite(each) ? each : lowest);
  return lowest;
}

THAW_INLINE std::optional<std::size_t> last_within(std::span<const double> loss, double bound) {
  for (std::size_t i = loss.size(); i-- > 0;)
    if (loss[i] <= bound) return i;
  return std::nullopt;
}

THAW_INLINE std::size_t held_out_before_explosion(const LRCurve& curve) {
  constexpr std::size_t before = 5;
  std::size_t looks = 0;  // so many were made before step i
  for (std::size_t i = before; i < curve.loss.size(); ++i) {
    while (looks < curve.held_out.size() && curve.held_out_lr[looks] < curve.lr[i]) ++looks;
    const double lowest = lowest_of(std::span(curve.held_out).first(looks));
    const auto recent = std::span(curve.loss).subspan(i - before, before);
    if (curve.loss[i] > lowest + 3 * std::abs(lowest) && curve.loss[i] > 2 * *std::ranges::max_element(recent))
      return looks;
  }
  return curve.held_out.size();
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE std::optional<Suggestion> suggest_before_rise(std::span<const double> lr, std::span<const double> loss) {
  const auto finite = std::ranges::find_if_not(loss, [](double each) { return std::isfinite(each); });
  const auto count = static_cast<std::size_t>(finite - loss.begin());
  constexpr std::size_t least = 20, tail = 5;
  if (count < least) return std::nullopt;
  const std::vector<double> medians = detail::medians_ahead(loss.first(count));
  const auto lowest =
      static_cast<std::size_t>(std::min_element(medians.begin(), medians.end() - tail) - medians.begin());
  const double best = medians[lowest], band = 3 * detail::noise_of(loss.first(std::max(lowest, least)));
  std::size_t last = count - 1;
  while (medians[last] > best + band) --last;
  const bool explodes = count < loss.size();
  if (!explodes && last + 3 >= count) return std::nullopt;
  const double highest = *std::max_element(medians.begin() + static_cast<std::ptrdiff_t>(last), medians.end());
  return Suggestion{.name = "before_rise",
                    .lr = lr[last] / 2,
                    .loss = medians[last],
                    .confidence = explodes ? 1 : 1 - band / (highest - best)};
}

THAW_INLINE std::optional<Suggestion> suggest_before_held_out_rise(std::span<const double> lr,
                                                                   std::span<const double> loss, bool ends_badly) {
  if (loss.size() < 5) return std::nullopt;
  const double best = detail::lowest_of(loss), band = 0.1 * std::abs(best);
  const std::optional<std::size_t> last = detail::last_within(loss, best + band);
  if (!last || lr[*last] == 0) return std::nullopt;
  Suggestion found{.name = "before_rise", .lr = lr[*last] / 2, .confidence = 1};
  if (*last + 1 == loss.size()) return ends_badly ? std::optional(found) : std::nullopt;
  double highest = loss[0];
  for (const double each : loss.subspan(*last + 1))
    highest = std::max(highest, std::isfinite(each) ? each : std::numeric_limits<double>::infinity());
  found.confidence = 1 - band / (highest - best);
  return found;
}

THAW_INLINE std::optional<Suggestion> suggest_edge(const LRCurve& curve) {
  const std::size_t looks = detail::held_out_before_explosion(curve);
  if (looks < 5) return std::nullopt;
  const auto held_out = std::span(curve.held_out).first(looks);
  const double lowest = detail::lowest_of(held_out);
  const std::optional<std::size_t> last = detail::last_within(held_out, lowest + std::abs(lowest));
  if (!last || curve.held_out_lr[*last] == 0) return std::nullopt;
  const bool ends_badly = curve.stopped_early || looks < curve.held_out.size();
  if (*last + 1 == looks && !ends_badly) return std::nullopt;
  return Suggestion{.name = "edge", .lr = curve.held_out_lr[*last] / 3, .loss = held_out[*last], .confidence = 1};
}

THAW_INLINE std::optional<Suggestion> suggest_before_rise(const LRCurve& curve) {
  if (curve.held_out.empty()) return suggest_before_rise(curve.lr, curve.loss);
  const std::size_t looks = detail::held_out_before_explosion(curve);
  return suggest_before_held_out_rise(std::span(curve.held_out_lr).first(looks),
                                      std::span(curve.held_out).first(looks),
                                      curve.stopped_early || looks < curve.held_out.size());
}

}  // namespace thaw

#endif
