#pragma once

#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <optional>
#include <tuple>

namespace thaw {

/// Sets SGD's and RMSprop's momentum, Adam's and AdamW's beta1 in these options; others have none and are left alone.
inline void write_momentum(torch::optim::OptimizerOptions& options, double value) {
  if (auto* adamw = dynamic_cast<torch::optim::AdamWOptions*>(&options))
    adamw->betas({value, std::get<1>(adamw->betas())});
  else if (auto* adam = dynamic_cast<torch::optim::AdamOptions*>(&options))
    adam->betas({value, std::get<1>(adam->betas())});
  else if (auto* sgd = dynamic_cast<torch::optim::SGDOptions*>(&options))
    sgd->momentum(value);
  else if (auto* rmsprop = dynamic_cast<torch::optim::RMSpropOptions*>(&options))
    rmsprop->momentum(value);
}

/// The momentum or beta1 in these options; none where the optimizer has none.
[[nodiscard]] inline std::optional<double> read_momentum(const torch::optim::OptimizerOptions& options) {
  if (const auto* adamw = dynamic_cast<const torch::optim::AdamWOptions*>(&options)) return std::get<0>(adamw->betas());
  if (const auto* adam = dynamic_cast<const torch::optim::AdamOptions*>(&options)) return std::get<0>(adam->betas());
  if (const auto* sgd = dynamic_cast<const torch::optim::SGDOptions*>(&options)) return sgd->momentum();
  if (const auto* rmsprop = dynamic_cast<const torch::optim::RMSpropOptions*>(&options)) return rmsprop->momentum();
  return std::nullopt;
}

/// The weight decay in these options; none where the optimizer has none.
[[nodiscard]] inline std::optional<double> read_weight_decay(const torch::optim::OptimizerOptions& options) {
  if (const auto* adamw = dynamic_cast<const torch::optim::AdamWOptions*>(&options)) return adamw->weight_decay();
  if (const auto* adam = dynamic_cast<const torch::optim::AdamOptions*>(&options)) return adam->weight_decay();
  if (const auto* sgd = dynamic_cast<const torch::optim::SGDOptions*>(&options)) return sgd->weight_decay();
  if (const auto* rmsprop = dynamic_cast<const torch::optim::RMSpropOptions*>(&options)) return rmsprop->weight_decay();
  if (const auto* adagrad = dynamic_cast<const torch::optim::AdagradOptions*>(&options)) return adagrad->weight_decay();
  return std::nullopt;
}

}  // namespace thaw
