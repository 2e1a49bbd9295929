// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randperm.h>
#include <c10/core/GradMode.h>
#include <c10/util/ScopeExit.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/core/random_state.hpp>
#include <thaw/core/seconds_since.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/data/spread_sample.hpp>
#include <thaw/find/snapshot.hpp>
#include <thaw/optim/adamw.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/weight_copy.hpp>

namespace thaw {

/// One way of training the head, tried on folds.
struct HeadTrial {
  double lr = 0, decay = 0;
  double loss = std::numeric_limits<double>::infinity();  ///< mean over the samples, each held out once
};

struct HeadTrials {
  std::vector<HeadTrial> trials = {};
  std::int64_t epochs = 0;  ///< of each trial
  double seconds = 0;       ///< a pass over the training data forward, about

  [[nodiscard]] const HeadTrial& best() const { return *std::ranges::min_element(trials, {}, &HeadTrial::loss); }
};

namespace detail {

/// What is tried: rates at the first decay, then the other decays at the best rate.
inline constexpr std::array head_rates{3e-4, 1e-3, 3e-3, 1e-2, 3e-2};
inline constexpr std::array head_decays{0.01, 0.3, 1.0, 3.0, 10.0};

/// The part of a model behind a split, as a model of its own: from features to the output.
struct HeadModule : torch::nn::Module {
  explicit HeadModule(FrozenSplit split_);
  Fields forward(const Fields& features) { return split.output(features); }

  FrozenSplit split;
};

struct Features {
  Fields input, target;
  double seconds = 0;  // for all of the training data, about
};

/// What the frozen part makes of a pass over the training data, of a spread of it where there is more than `most`.
/// Throws ConfigError where features of two batches cannot be one behind the other, or take more than `most_bytes`.
Features features_of(const FrozenSplit& split, const DataSource& source, const at::Device& device, std::int64_t most,
                     std::int64_t most_bytes);

/// What the head alone takes for a pass over these features.
double forward_seconds(const FrozenSplit& split, const InMemory& features, const at::Device& device);

/// A part to train on, and the part that is held out.
struct Fold {
  InMemory train, valid;
};

/// The samples cut into so many folds at random, the same ones each time.
std::vector<Fold> folds_of(const Features& all, std::int64_t folds);

/// Mean held-out loss, over all folds, of a head that is trained so. Its weights are put back, and have no gradients.
double fold_loss(const std::shared_ptr<HeadModule>& head, const LayerGroups& groups, Learner& owner,
                 const std::vector<Fold>& folds, const HeadTrial& how, std::int64_t epochs);

}  // namespace detail

/// Tries rates and weight decays of the head on what the frozen part makes of the training data, so that an epoch costs
/// milliseconds. `folds` times a part of the samples is held out, and the loss on it is what counts:
///
///     loss(lr, decay) = 1/n sum over folds, over the samples held out, of the Learner's loss
///
/// first over rates at decay 0.01, then over decays at the best rate, by AdamW and one-cycle for `epochs` epochs, at
/// most 1,000 steps. About 2,000 samples take part at most. Nothing is left changed: weights, statistics, random
/// generators. Groups must be frozen as they will be when the head trains. Throws ConfigError where the model cannot be
/// run in parts, nothing of it stays as it is, what comes behind the frozen part would take minutes, or its features
/// cannot be kept.
[[nodiscard]] HeadTrials try_heads(Learner& learner, std::int64_t folds = 4, std::int64_t epochs = 30);

}  // namespace thaw

#if THAW_DEFINES(recipe)

namespace thaw::detail {

THAW_INLINE HeadModule::HeadModule(FrozenSplit split_) : split(std::move(split_)) {
  std::unordered_set<const torch::nn::Module*> seen;
  for (const ForwardPart& part : split.suffix)
    for (const auto& module : part.modules)
      if (seen.insert(module.get()).second) register_module(std::to_string(seen.size()), module);
}

THAW_INLINE Features features_of(const FrozenSplit& split, const DataSource& source, const at::Device& device,
                                 std::int64_t most, std::int64_t most_bytes) {
  std::vector<std::vector<at::Tensor>> input, target;
  const auto add = [](std::vector<std::vector<at::Tensor>>& all, const Fields& fields) {
    all.resize(fields.size());
    for (std::size_t i = 0; i < fields.size(); ++i) all[i].push_back(fields[i].cpu());
  };
  const auto begin = std::chrono::steady_clock::now();
  std::int64_t bytes = 0;
  Spread spread(source, most);
  while (const std::optional<Batch> batch = spread.next()) {
    const Fields features = split.features(batch->to(device).input);
    for (const at::Tensor& each : features) bytes += static_cast<std::int64_t>(each.nbytes());
    if (bytes > most_bytes)
      throw ConfigError("the head's features", "they take more than " + std::to_string(most_bytes >> 20) + " MB",
                        "cut the groups later, or train the head as the rest");
    add(input, features);
    add(target, batch->target);
  }
  source.restart();
  const auto joined = [](const std::vector<std::vector<at::Tensor>>& all) {
    std::vector<at::Tensor> result;
    for (const std::vector<at::Tensor>& each : all) {
      for (const at::Tensor& batch : each)
        if (batch.dim() == 0 || batch.sizes().slice(1) != each[0].sizes().slice(1))
          throw ConfigError("the head's features", "their sizes differ from batch to batch",
                            "train the head as the rest");
      result.push_back(at::cat(each));
    }
    return Fields(result);
  };
  Features result{.input = joined(input), .target = joined(target)};
  result.seconds = static_cast<double>(spread.every()) * seconds_since(begin);
  return result;
}

THAW_INLINE double forward_seconds(const FrozenSplit& split, const InMemory& features, const at::Device& device) {
  const auto begin = std::chrono::steady_clock::now();
  const c10::NoGradGuard no_grad;
  for (BatchStream next = features.stream(0); const std::optional<Batch> batch = next();)
    (void)split.output(batch->to(device).input);
  return seconds_since(begin);
}

THAW_INLINE std::vector<Fold> folds_of(const Features& all, std::int64_t folds) {
  const std::int64_t samples = all.target[0].size(0);
  if (samples < folds)
    throw ConfigError("the head's features",
                      std::to_string(samples) + " samples for " + std::to_string(folds) + " folds",
                      "give more samples");
  const std::int64_t rest = samples - samples / folds;
  const std::int64_t batch_size = std::clamp<std::int64_t>(rest / 8, 1, 32);
  const InMemory train({.input = all.input,
                        .target = all.target,
                        .batch_size = batch_size,
                        .shuffle = true,
                        .drop_last = rest > batch_size});  // a last batch of one is too few for batch norm
  const InMemory valid({.input = all.input, .target = all.target});
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(std::uint64_t{0});
  const at::Tensor order = at::randperm(samples, generator, at::TensorOptions(at::kLong));
  const at::Tensor fold = at::arange(samples, at::kLong).remainder(folds);
  std::vector<Fold> result;
  result.reserve(static_cast<std::size_t>(folds));
  for (std::int64_t f = 0; f < folds; ++f)
    result.push_back({.train = train.subset(order.masked_select(fold.ne(f))),
                      .valid = valid.subset(order.masked_select(fold.eq(f)))});
  return result;
}

THAW_INLINE double fold_loss(const std::shared_ptr<HeadModule>& head, const LayerGroups& groups, Learner& owner,
                             const std::vector<Fold>& folds, const HeadTrial& how, std::int64_t epochs) {
  const WeightCopy start(*head);
  const auto put_back = c10::make_scope_exit([&] { start.restore(), head->zero_grad(); });
  double sum = 0;
  std::int64_t samples = 0;
  for (const auto& [train, valid] : folds) {
    start.restore();
    seed(0);  // dropout: the same for all that are compared
    Learner learner(
        head, groups, [&](const Fields& output, const Fields& target) { return owner.criterion(output, target); },
        {.train = train, .optimizer = [&](const LayerGroups& all) -> std::unique_ptr<torch::optim::Optimizer> {
           return std::make_unique<AdamW>(all, AdamW::fastai_defaults().weight_decay(how.decay));
         }});
    learner.fit({.epochs = epochs, .lr = how.lr});
    const double loss = learner.validate(valid).loss;
    sum +=
        static_cast<double>(valid.samples()) * (std::isfinite(loss) ? loss : std::numeric_limits<double>::infinity());
    samples += valid.samples();
  }
  return sum / static_cast<double>(samples);
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE HeadTrials try_heads(Learner& learner, std::int64_t folds, std::int64_t epochs) {
  const RandomState random;
  const TrainingFlags flags{*learner.groups().module()};
  const FrozenSplit split = learner.split_frozen();
  if (split.prefix.empty())
    throw ConfigError("the head's features", "no part of the model stays as it is: " + split.end,
                      "freeze the first groups, with Norm::hold");
  learner.groups().eval();
  const detail::Features all =
      detail::features_of(split, learner.data().train, learner.device(), 2000, std::int64_t{1} << 30);
  learner.groups().train();
  const auto head = std::make_shared<detail::HeadModule>(split);
  const LayerGroups groups = LayerGroups::cut_before(head, {});

  const std::vector<detail::Fold> parts = detail::folds_of(all, folds);

  HeadTrials result{.epochs = std::clamp<std::int64_t>(1000 / parts[0].train.batches(), 3, epochs),
                    .seconds = all.seconds};
  const double head_seconds = detail::forward_seconds(split, parts[0].train, learner.device());
  constexpr auto trials = static_cast<double>(detail::head_rates.size() + detail::head_decays.size() - 1);
  const double all_trials = trials * static_cast<double>(folds * result.epochs) * 3 * head_seconds;
  if (all_trials > 60 && head_seconds > 0.2 * result.seconds)
    throw ConfigError("the head's features", "what comes behind them takes much of the model's time",
                      "train it as the rest");
  const auto tried = [&](double lr, double decay) {
    HeadTrial& trial = result.trials.emplace_back(HeadTrial{.lr = lr, .decay = decay});
    trial.loss = detail::fold_loss(head, groups, learner, parts, trial, result.epochs);
  };
  for (const double lr : detail::head_rates) tried(lr, detail::head_decays[0]);
  const double lr = result.best().lr;
  for (const double decay : detail::head_decays)
    if (decay != detail::head_decays[0]) tried(lr, decay);
  return result;
}

}  // namespace thaw

#endif
