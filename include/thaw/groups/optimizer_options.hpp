// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <optional>
#include <tuple>
#include <type_traits>

#include <thaw/core/compiled.hpp>

namespace thaw {

/// Writes a momentum into options of the type that it was made for.
using MomentumWriter = void (*)(torch::optim::OptimizerOptions& options, double value);

/// What sets SGD's and RMSprop's momentum, Adam's and AdamW's beta1 in options of this type; null for others, which
/// have none. Finding it out costs more than using it, so a loop asks once.
[[nodiscard]] MomentumWriter momentum_writer(const torch::optim::OptimizerOptions& options);

/// Sets SGD's and RMSprop's momentum, Adam's and AdamW's beta1 in these options; others have none and are left alone.
void write_momentum(torch::optim::OptimizerOptions& options, double value);

/// The momentum or beta1 in these options; none where the optimizer has none.
[[nodiscard]] std::optional<double> read_momentum(const torch::optim::OptimizerOptions& options);

namespace detail {

/// Calls `use(options)` with options as what they are, where that has a weight decay. Whether it has.
template <class AnyOptions, class Use>
bool with_weight_decay(AnyOptions& options, const Use& use) {
  const auto as = [&]<class Options>(std::type_identity<Options>) {
    auto* own = dynamic_cast<std::conditional_t<std::is_const_v<AnyOptions>, const Options, Options>*>(&options);
    if (own != nullptr) use(*own);
    return own != nullptr;
  };
  using namespace torch::optim;
  return as(std::type_identity<AdamWOptions>{}) || as(std::type_identity<AdamOptions>{}) ||
         as(std::type_identity<SGDOptions>{}) || as(std::type_identity<RMSpropOptions>{}) ||
         as(std::type_identity<AdagradOptions>{});
}

}  // namespace detail

/// Sets the weight decay in these options. Whether there is one.
bool write_weight_decay(torch::optim::OptimizerOptions& options, double value);

/// The weight decay in these options; none where the optimizer has none.
[[nodiscard]] std::optional<double> read_weight_decay(const torch::optim::OptimizerOptions& options);

}  // namespace thaw

#if THAW_DEFINES(groups)

namespace thaw {

THAW_INLINE MomentumWriter momentum_writer(const torch::optim::OptimizerOptions& options) {
  const auto beta1 = []<class Options>(std::type_identity<Options>) -> MomentumWriter {
    return [](torch::optim::OptimizerOptions& any, double value) {
      auto& adam = static_cast<Options&>(any);
      adam.betas({value, std::get<1>(adam.betas())});
    };
  };
  const auto momentum = []<class Options>(std::type_identity<Options>) -> MomentumWriter {
    return [](torch::optim::OptimizerOptions& any, double value) { static_cast<Options&>(any).momentum(value); };
  };
  using namespace torch::optim;
  if (dynamic_cast<const AdamWOptions*>(&options)) return beta1(std::type_identity<AdamWOptions>{});
  if (dynamic_cast<const AdamOptions*>(&options)) return beta1(std::type_identity<AdamOptions>{});
  if (dynamic_cast<const SGDOptions*>(&options)) return momentum(std::type_identity<SGDOptions>{});
  if (dynamic_cast<const RMSpropOptions*>(&options)) return momentum(std::type_identity<RMSpropOptions>{});
  return nullptr;
}

THAW_INLINE void write_momentum(torch::optim::OptimizerOptions& options, double value) {
  if (const MomentumWriter write = momentum_writer(options)) write(options, value);
}

THAW_INLINE std::optional<double> read_momentum(const torch::optim::OptimizerOptions& options) {
  if (const auto* adamw = dynamic_cast<const torch::optim::AdamWOptions*>(&options)) return std::get<0>(adamw->betas());
  if (const auto* adam = dynamic_cast<const torch::optim::AdamOptions*>(&options)) return std::get<0>(adam->betas());
  if (const auto* sgd = dynamic_cast<const torch::optim::SGDOptions*>(&options)) return sgd->momentum();
  if (const auto* rmsprop = dynamic_cast<const torch::optim::RMSpropOptions*>(&options)) return rmsprop->momentum();
  return std::nullopt;
}

THAW_INLINE bool write_weight_decay(torch::optim::OptimizerOptions& options, double value) {
  return detail::with_weight_decay(options, [&](auto& own) { own.weight_decay(value); });
}

THAW_INLINE std::optional<double> read_weight_decay(const torch::optim::OptimizerOptions& options) {
  std::optional<double> value;
  detail::with_weight_decay(options, [&](const auto& own) { value = own.weight_decay(); });
  return value;
}

}  // namespace thaw

#endif
