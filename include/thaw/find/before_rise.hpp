#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include <thaw/find/suggestion.hpp>

namespace thaw {

namespace detail {

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::ranges::nth_element(values, middle);
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

/// The median of each loss and the four that follow it, so that one bad batch is no rise.
inline std::vector<double> medians_ahead(std::span<const double> loss) {
  std::vector<double> result;
  for (std::size_t i = 0; i < loss.size(); ++i) {
    const std::span<const double> window = loss.subspan(i, std::min<std::size_t>(5, loss.size() - i));
    result.push_back(median({window.begin(), window.end()}));
  }
  return result;
}

/// How much losses of neighbouring steps differ by chance: the standard deviation of one, from the median difference,
/// which neither a trend nor a few outliers move. 1.4826 makes it right for a normal distribution.
inline double noise_of(std::span<const double> loss) {
  std::vector<double> differences;
  for (std::size_t i = 0; i + 1 < loss.size(); ++i) differences.push_back(std::abs(loss[i + 1] - loss[i]));
  return 1.4826 * median(std::move(differences)) / std::sqrt(2.0);
}

}  // namespace detail

/// The article's rule: the last rate before the loss starts to rise.
///
/// Over the losses as they came, m_i is the median of loss i and the four after it, b the lowest m_i, and sigma the
/// noise of one loss, as far as the lowest point (or over the first 20 steps). The loss has risen where m_i leaves the
/// band b + 3 sigma for good; the rate suggested is that of the last step before. Its confidence is
///
///     1 - 3 sigma / (highest m_i behind it - b)
///
/// in (0, 1): how far the rise stands out of the noise. A loss that is not finite has risen, by any amount. None where
/// the loss never rises for good, and where there are fewer than 20 losses.
///
/// fastai's four rules look for a fall. A pretrained network that has just been thawed has none: its loss is flat, and
/// then rises. Source: fastai's course and its article, "a rate just before the loss starts to rise".
[[nodiscard]] inline std::optional<Suggestion> suggest_before_rise(std::span<const double> lr,
                                                                   std::span<const double> loss) {
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
                    .lr = lr[last],
                    .loss = medians[last],
                    .confidence = explodes ? 1 : 1 - band / (highest - best)};
}

}  // namespace thaw
