#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/find/lr_curve.hpp>
#include <thaw/find/snapshot.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/groups/rates.hpp>
#include <thaw/schedule/anneal.hpp>

namespace thaw {

/// The learning-rate range test: trains with a rate that grows from step to step, watches the loss, and puts
/// everything back (see Snapshot), whether it ends well or by an exception.
///
///     lr_i = start_lr (end_lr / start_lr)^(i / steps), i = 0 .. steps - 1
///
/// The last layer group has rate lr_i; the others keep the ratios of `rates`. Stops when the smoothed loss exceeds
/// `stop_factor` times its best, and at a loss that is not finite. Momentum stays as the optimizer has it.
/// Source: Smith 2015, arXiv:1506.01186; fastai's `lr_find`, which keeps neither the ratios nor the generators.
struct LRFinder {
  double start_lr = 1e-7;
  double end_lr = 10;
  std::int64_t steps = 100;
  bool stop_early = true;
  double stop_factor = 4;
  double beta = 0.98;            ///< smoothing of the loss, see LRCurve::smoothed
  DiscriminativeLR rates = 1.0;  ///< only the ratios between groups count

  /// `step()` does one optimizer step on the next batch and returns its loss as a number.
  /// Throws ConfigError when the sweep makes no sense, before anything is touched.
  template <std::invocable Step>
  [[nodiscard]] LRCurve run(const LayerGroups& groups, torch::optim::Optimizer& optimizer, Step step) const {
    check();
    const OptimizerGroups live{optimizer, groups};
    std::vector<double> ratios = rates(groups.size());
    if (!(ratios.back() > 0))
      throw ConfigError("LRFinder", "the last group's rate is 0",
                        "give the last group a rate: the others are relative to it");
    for (const double last = ratios.back(); double& ratio : ratios) ratio /= last;

    const Snapshot snapshot{*groups.module(), optimizer};
    LRCurve curve{.planned = steps};
    double average = 0, best = std::numeric_limits<double>::infinity();
    for (std::int64_t i = 0; i < steps; ++i) {
      const double lr = anneal_exponential(start_lr, end_lr, static_cast<double>(i) / static_cast<double>(steps));
      std::vector<double> group_lr = ratios;
      for (double& rate : group_lr) rate *= lr;
      live.set_lr(group_lr);

      const double loss = static_cast<double>(step());
      average = beta * average + (1 - beta) * loss;
      const double smoothed = average / (1 - std::pow(beta, static_cast<double>(i + 1)));
      curve.lr.push_back(lr);
      curve.loss.push_back(loss);
      curve.smoothed.push_back(smoothed);
      best = std::min(best, smoothed);
      if (!std::isfinite(loss) || (stop_early && smoothed > stop_factor * best)) {
        curve.stopped_early = true;
        break;
      }
    }
    return curve;
  }

  void check() const {
    if (!(start_lr > 0 && end_lr > start_lr && std::isfinite(end_lr)))
      throw ConfigError("LRFinder", "the sweep goes from " + std::to_string(start_lr) + " to " + std::to_string(end_lr),
                        "give 0 < start_lr < end_lr");
    if (steps < 2) throw ConfigError("LRFinder", std::to_string(steps) + " steps", "give at least 2; 100 is usual");
    if (!(beta >= 0 && beta < 1))
      throw ConfigError("LRFinder", "beta is " + std::to_string(beta), "give 0 <= beta < 1");
  }
};

}  // namespace thaw
