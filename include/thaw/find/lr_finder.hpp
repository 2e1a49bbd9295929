#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/core/interrupts.hpp>
#include <thaw/find/lr_curve.hpp>
#include <thaw/find/snapshot.hpp>
#include <thaw/groups/optimizer_groups.hpp>
#include <thaw/groups/rates.hpp>
#include <thaw/schedule/anneal.hpp>

namespace thaw {

/// How the rate grows from step to step.
enum class Sweep { exponential, linear };

/// The learning-rate range test: trains with a rate that grows from step to step, watches the loss, and puts
/// everything back (see Snapshot), whether it ends well or by an exception.
///
///     lr_i = start_lr (end_lr / start_lr)^(i / steps), i = 0 .. steps - 1
///
/// (linear: start_lr + (end_lr - start_lr) i / steps). The last layer group has rate lr_i; the others keep the ratios
/// of `rates`. Stops when the smoothed loss exceeds `stop_factor` times its best (see `limit`), at a loss that is not
/// finite, and at ctrl-C (Interrupted is thrown then, once all is put back; a handler of your own is left in place, and
/// is asked instead). Momentum stays as the optimizer has it. Source: Smith 2015, arXiv:1506.01186; fastai's `lr_find`,
/// which keeps neither the ratios nor the generators.
struct LRFinder {
  double start_lr = 1e-7;
  double end_lr = 10;
  std::int64_t steps = 100;
  bool stop_early = true;
  double stop_factor = 4;
  double beta = 0.98;            ///< smoothing of the loss, see LRCurve::smoothed
  DiscriminativeLR rates = 1.0;  ///< only the ratios between groups count
  Sweep sweep = Sweep::exponential;
  bool on_validation = false;  ///< watch the validation loss after each step (Smith's own way), not the training loss
  /// With several processes: the mean of a loss over all of them, so that they see one curve and stop together.
  std::function<double(double)> mean_over_processes = {};

  /// `step()` does one optimizer step (on one batch, or on several whose gradients add up) and returns its loss as a
  /// number. `validation_loss()` is called after each step when `on_validation` is set.
  /// Throws ConfigError when the sweep makes no sense, before anything is touched.
  template <std::invocable Step>
  [[nodiscard]] LRCurve run(const LayerGroups& groups, torch::optim::Optimizer& optimizer, Step step,
                            const std::function<double()>& validation_loss = {}) const {
    check();
    if (on_validation && !validation_loss)
      throw ConfigError("LRFinder", "on_validation is asked for, but there is no validation loss",
                        "give run() a function that computes it");
    const OptimizerGroups live{optimizer, groups};
    std::vector<double> ratios = rates(groups.size());
    if (!(ratios.back() > 0))
      throw ConfigError("LRFinder", "the last group's rate is 0",
                        "give the last group a rate: the others are relative to it");
    for (const double last = ratios.back(); double& ratio : ratios) ratio /= last;

    const Interrupts interrupts;
    const Snapshot snapshot{*groups.module(), optimizer};
    LRCurve curve{.planned = steps};
    double average = 0, best = std::numeric_limits<double>::infinity();
    for (std::int64_t i = 0; i < steps; ++i) {
      if (interrupts.seen() != 0) throw Interrupted("LRFinder");
      const double lr = rate(i);
      std::vector<double> group_lr = ratios;
      for (double& rate : group_lr) rate *= lr;
      live.set_lr(group_lr);

      auto loss = static_cast<double>(step());
      if (on_validation && std::isfinite(loss)) loss = validation_loss();
      if (mean_over_processes) loss = mean_over_processes(loss);
      average = beta * average + (1 - beta) * loss;
      const double smoothed = average / (1 - std::pow(beta, static_cast<double>(i + 1)));
      curve.lr.push_back(lr);
      curve.loss.push_back(loss);
      curve.smoothed.push_back(smoothed);
      best = std::min(best, smoothed);
      if (!std::isfinite(loss) || (stop_early && smoothed > limit(best))) {
        curve.stopped_early = true;
        break;
      }
    }
    if (interrupts.seen()) throw Interrupted("LRFinder");
    return curve;
  }

  /// The last group's rate in step i.
  [[nodiscard]] double rate(std::int64_t i) const {
    const double p = static_cast<double>(i) / static_cast<double>(steps);
    return sweep == Sweep::linear ? anneal_linear(start_lr, end_lr, p) : anneal_exponential(start_lr, end_lr, p);
  }

  /// Above which smoothed loss the sweep stops, given its best: `stop_factor` times that; for losses below zero as far
  /// above it.
  [[nodiscard]] double limit(double best) const {
    return best > 0 ? stop_factor * best : best + (stop_factor - 1) * std::abs(best);
  }

  void check() const {
    if (!(start_lr > 0 && end_lr > start_lr && std::isfinite(end_lr)))
      throw ConfigError("LRFinder", "the sweep goes from " + detail::number(start_lr) + " to " + detail::number(end_lr),
                        "give 0 < start_lr < end_lr");
    if (!(stop_factor > 1))
      throw ConfigError("LRFinder", "stop_factor is " + detail::number(stop_factor), "give more than 1; 4 is usual");
    if (steps < 2) throw ConfigError("LRFinder", std::to_string(steps) + " steps", "give at least 2; 100 is usual");
    if (!(beta >= 0 && beta < 1))
      throw ConfigError("LRFinder", "beta is " + detail::number(beta), "give 0 <= beta < 1");
  }
};

}  // namespace thaw
