// SPDX-License-Identifier: BSD-3-Clause
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

#include <thaw/core/compiled.hpp>
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

/// What a sweep looks at beside the loss of each step. Each is optional, and gives a loss as a number.
struct LRProbes {
  /// The loss, now, of the batch that the last step trained on, with the random numbers that it had then.
  std::function<double()> same_batch = {};
  /// The mean loss of samples that no step trains on, always the same ones, in evaluation mode.
  std::function<double()> held_out = {};
};

/// The learning-rate range test: trains with a rate that grows from step to step, watches the loss, and puts
/// everything back (see Snapshot), whether it ends well or by an exception.
///
///     lr_i = start_lr (end_lr / start_lr)^(i / steps), i = 0 .. steps - 1
///
/// (linear: start_lr + (end_lr - start_lr) i / steps). The last layer group has rate lr_i; the others keep the ratios
/// of `rates`. Where one group alone has a rate, lr_i is that group's. Stops when the smoothed loss, or the held-out
/// loss where that is measured, exceeds `stop_factor` times its best (see `limit`), at a loss that is not finite, and
/// at ctrl-C (Interrupted is thrown then, once all is put back; a handler of your own is left in place, and is asked
/// instead). Momentum stays as the optimizer has it. Source: Smith 2015, arXiv:1506.01186; fastai's `lr_find`, which
/// keeps neither the ratios nor the generators.
struct LRFinder {
  double start_lr = 1e-7;
  double end_lr = 10;
  std::int64_t steps = 100;
  bool stop_early = true;
  double stop_factor = 4;
  double beta = 0.98;            ///< smoothing of the loss, see LRCurve::smoothed
  DiscriminativeLR rates = 1.0;  ///< only the ratios between groups count
  Sweep sweep = Sweep::exponential;
  bool on_validation = false;  ///< the curve is the whole validation loss after each step (Smith's own way)
  bool paired = false;         ///< Learner: also measure LRCurve::change, by one more forward pass a step
  /// Learner: on how many validation samples, spread over the data, LRCurve::held_out is measured, where there is
  /// validation data; 0 for none. In a loop of your own they are what LRProbes::held_out looks at.
  std::int64_t held_out_samples = 128;
  std::int64_t held_out_every = 2;  ///< steps from one such measurement to the next
  /// With several processes: the mean of a loss over all of them, so that they see one curve and stop together.
  std::function<double(double)> mean_over_processes = {};

  /// `step()` does one optimizer step (on one batch, or on several whose gradients add up) and returns its loss as a
  /// number. `probes` fill LRCurve::change and ::held_out; `on_validation` needs the second.
  /// Throws ConfigError when the sweep makes no sense, before anything is touched.
  template <std::invocable Step>
  [[nodiscard]] LRCurve run(const LayerGroups& groups, torch::optim::Optimizer& optimizer, Step step,
                            const LRProbes& probes = {}) const {
    check();
    if (on_validation && !probes.held_out)
      throw ConfigError("LRFinder", "on_validation is asked for, but there is no validation loss",
                        "give run() a function that computes it: {.held_out = ...}");
    const OptimizerGroups live{optimizer, groups};
    const std::vector<double> ratios = ratios_of(groups.size());
    const auto measured = [&](double loss) { return mean_over_processes ? mean_over_processes(loss) : loss; };

    const Interrupts interrupts;
    const Snapshot snapshot{*groups.module(), optimizer};
    LRCurve curve{.planned = steps, .ratios = ratios};
    double lowest_held_out = std::numeric_limits<double>::infinity();
    const auto look = [&](double lr) {
      curve.held_out_lr.push_back(lr);
      curve.held_out.push_back(measured(probes.held_out()));
      lowest_held_out = std::min(lowest_held_out, curve.held_out.back());
    };
    if (probes.held_out && !on_validation) look(0);
    double average = 0, best = std::numeric_limits<double>::infinity();
    for (std::int64_t i = 0; i < steps; ++i) {
      if (interrupts.seen() != 0) throw Interrupted("LRFinder");
      const double lr = rate(i);
      std::vector<double> group_lr = ratios;
      for (double& rate : group_lr) rate *= lr;
      live.set_lr(group_lr);

      auto loss = static_cast<double>(step());
      if (on_validation && std::isfinite(loss)) loss = probes.held_out();
      loss = measured(loss);
      if (probes.same_batch)
        curve.change.push_back(std::isfinite(loss) ? measured(probes.same_batch()) - loss
                                                   : std::numeric_limits<double>::quiet_NaN());
      if (probes.held_out && !on_validation && std::isfinite(loss) && (i + 1) % held_out_every == 0) look(lr);
      average = beta * average + (1 - beta) * loss;
      const double smoothed = average / (1 - std::pow(beta, static_cast<double>(i + 1)));
      curve.lr.push_back(lr);
      curve.loss.push_back(loss);
      curve.smoothed.push_back(smoothed);
      best = std::min(best, smoothed);
      const bool ruined =
          curve.held_out.empty() ? smoothed > limit(best) : !(curve.held_out.back() <= limit(lowest_held_out));
      if (!std::isfinite(loss) || (stop_early && ruined)) {
        curve.stopped_early = true;
        break;
      }
    }
    if (interrupts.seen()) throw Interrupted("LRFinder");
    return curve;
  }

  /// The last group's rate in step i.
  [[nodiscard]] double rate(std::int64_t i) const;

  /// Above which smoothed loss the sweep stops, given its best: `stop_factor` times that; for losses below zero as far
  /// above it.
  [[nodiscard]] double limit(double best) const {
    return best > 0 ? stop_factor * best : best + (stop_factor - 1) * std::abs(best);
  }

  void check() const;

 private:
  /// Of each group's rate to that of the last one, or of the only one that has a rate.
  [[nodiscard]] std::vector<double> ratios_of(std::size_t groups) const;
};

}  // namespace thaw

#if THAW_DEFINES(find)

namespace thaw {

THAW_INLINE double LRFinder::rate(std::int64_t i) const {
  const double p = static_cast<double>(i) / static_cast<double>(steps);
  return sweep == Sweep::linear ? anneal_linear(start_lr, end_lr, p) : anneal_exponential(start_lr, end_lr, p);
}

THAW_INLINE void LRFinder::check() const {
  if (!(start_lr > 0 && end_lr > start_lr && std::isfinite(end_lr)))
    throw ConfigError("LRFinder", "the sweep goes from " + detail::number(start_lr) + " to " + detail::number(end_lr),
                      "give 0 < start_lr < end_lr");
  if (!(stop_factor > 1))
    throw ConfigError("LRFinder", "stop_factor is " + detail::number(stop_factor), "give more than 1; 4 is usual");
  if (steps < 2) throw ConfigError("LRFinder", std::to_string(steps) + " steps", "give at least 2; 100 is usual");
  if (!(beta >= 0 && beta < 1)) throw ConfigError("LRFinder", "beta is " + detail::number(beta), "give 0 <= beta < 1");
  if (held_out_samples < 0 || held_out_every < 1)
    throw ConfigError(
        "LRFinder",
        std::to_string(held_out_samples) + " held-out samples, every " + std::to_string(held_out_every) + " steps",
        "give 0 samples or more, and at least every step");
  if (paired && on_validation)
    throw ConfigError("LRFinder", "both paired and on_validation are asked for",
                      "take one: a paired sweep compares training losses");
}

THAW_INLINE std::vector<double> LRFinder::ratios_of(std::size_t groups) const {
  std::vector<double> ratios = rates(groups);
  const bool one_alone = std::ranges::count_if(ratios, [](double rate) { return rate > 0; }) == 1;
  const double reference = one_alone ? *std::ranges::max_element(ratios) : ratios.back();
  if (!(reference > 0))
    throw ConfigError("LRFinder", "the last group's rate is 0",
                      "give the last group a rate, since the others are relative to it, or one group alone");
  for (double& ratio : ratios) ratio /= reference;
  return ratios;
}

}  // namespace thaw

#endif
