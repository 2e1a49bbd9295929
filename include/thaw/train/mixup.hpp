// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/ops/_sample_dirichlet.h>
#include <ATen/ops/full.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randperm.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include <thaw/core/accelerator.hpp>
#include <thaw/core/compiled.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

namespace detail {

/// lambda ~ Beta(alpha, alpha), drawn from LibTorch's CPU generator.
[[nodiscard]] double sample_beta(double alpha);

/// What both ways of mixing share: who is mixed with whom, and the loss
///     lambda loss(output, target) + (1 - lambda) loss(output, target of the partner)
/// which any loss that is a mean over samples allows.
struct Mixed {
  double lambda = 1;
  Fields partner_target = {};  // empty: the batch is not mixed

  static void plan(const StagePlanned& event, const char* who, double alpha, double probability);
  /// Whether this batch is mixed. Draws nothing where that is certain.
  bool begin(double probability);
  at::Tensor pair_up(const Batch& batch);
  void mix_loss(const LossReady& event) const {
    if (partner_target.empty()) return;
    event.loss = event.loss * lambda + event.criterion(event.output, partner_target) * (1 - lambda);
  }
};

}  // namespace detail

/// mixup (arXiv:1710.09412): trains on x = lambda x_i + (1 - lambda) x_j and the losses against both targets, mixed
/// alike; one lambda ~ Beta(alpha, alpha) per batch, the larger of lambda and 1 - lambda. Mixes the batch's first
/// input. The training loss that is shown is the mixed one.
struct MixUp {
  double alpha = 0.4;
  double probability = 1;  ///< of a batch to be mixed

  using State = detail::Mixed;  // from a batch's begin to its loss
  void on_stage_planned(const StagePlanned& event) const { State::plan(event, "MixUp", alpha, probability); }
  void on_batch_ready(const BatchReady& event, State& now) const;
  static void on_loss_ready(const LossReady& event, State& now) { now.mix_loss(event); }
};

/// CutMix (arXiv:1905.04899): pastes a box of image j into image i; lambda is the fraction of i that is left. The box
/// has sides of sqrt(1 - lambda) of the image's, lambda ~ Beta(alpha, alpha), around a uniform centre, cut at the
/// border. Images are the batch's first input, [N, ..., H, W].
struct CutMix {
  double alpha = 1;
  double probability = 1;  ///< of a batch to be mixed

  using State = detail::Mixed;  // from a batch's begin to its loss
  void on_stage_planned(const StagePlanned& event) const { State::plan(event, "CutMix", alpha, probability); }
  void on_batch_ready(const BatchReady& event, State& now) const;
  static void on_loss_ready(const LossReady& event, State& now) { now.mix_loss(event); }
};

}  // namespace thaw

#if THAW_DEFINES(train)

namespace thaw::detail {

THAW_INLINE double sample_beta(double alpha) {
  return at::_sample_dirichlet(at::full({2}, alpha, at::kDouble))[0].item<double>();
}

THAW_INLINE bool Mixed::begin(double probability) {
  *this = {};
  return probability >= 1 || at::rand({}, at::kDouble).item<double>() < probability;
}

THAW_INLINE at::Tensor Mixed::pair_up(const Batch& batch) {
  const at::Tensor partner = send_to(batch.input[0].device(), at::randperm(batch.size(), at::kLong));
  partner_target = batch.target.map([&](const at::Tensor& target) { return target.index_select(0, partner); });
  return partner;
}

THAW_INLINE void Mixed::plan(const StagePlanned& event, const char* who, double alpha, double probability) {
  if (!(alpha > 0)) throw ConfigError(who, "alpha is " + detail::number(alpha), "give a positive number");
  if (!(probability >= 0 && probability <= 1))
    throw ConfigError(who, "probability is " + detail::number(probability), "give a number from 0 to 1");
  event.mixes.emplace_back(who);
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE void MixUp::on_batch_ready(const BatchReady& event, State& now) const {
  if (!now.begin(probability)) return;
  const at::Tensor partner = now.pair_up(event.batch);
  const double lambda = detail::sample_beta(alpha);
  now.lambda = std::max(lambda, 1 - lambda);
  const at::Tensor& images = event.batch.input[0];
  event.batch.input.replace(0, at::lerp(images.index_select(0, partner), images, now.lambda));
}

THAW_INLINE void CutMix::on_batch_ready(const BatchReady& event, State& now) const {
  const at::Tensor& images = event.batch.input[0];
  if (images.dim() < 3)
    throw DataError("CutMix", "the inputs have " + std::to_string(images.dim()) + " dimensions",
                    "give images [N, ..., H, W]");
  if (!now.begin(probability)) return;
  const at::Tensor partner = now.pair_up(event.batch);
  const double side = std::sqrt(1 - detail::sample_beta(alpha));
  const auto cut = [&](std::int64_t size) {
    const double centre = at::rand({}, at::kDouble).item<double>() * static_cast<double>(size);
    const double half = side * static_cast<double>(size) / 2;
    const auto clip = [&](double x) { return std::clamp<std::int64_t>(std::llround(x), 0, size); };
    return std::pair{clip(centre - half), clip(centre + half)};
  };
  const std::int64_t height = images.size(-2), width = images.size(-1);
  const auto [top, bottom] = cut(height);
  const auto [left, right] = cut(width);
  at::Tensor result = images.clone();
  const auto box = [&, t = top, b = bottom, l = left, r = right](const at::Tensor& x) {
    return x.slice(-2, t, b).slice(-1, l, r);
  };
  box(result).copy_(box(images.index_select(0, partner)));
  event.batch.input.replace(0, result);
  now.lambda = 1 - static_cast<double>((bottom - top) * (right - left)) / static_cast<double>(height * width);
}

}  // namespace thaw

#endif
