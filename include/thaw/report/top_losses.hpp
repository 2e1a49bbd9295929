// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <thaw/core/compiled.hpp>
#include <thaw/core/error.hpp>
#include <thaw/report/detail/classes.hpp>
#include <thaw/report/detail/numbers.hpp>
#include <thaw/report/table.hpp>
#include <thaw/train/learner.hpp>

namespace thaw {

/// What a model made of one sample.
struct SampleLoss {
  std::int64_t sample = 0;  ///< its number in the source's own order: of an ImageSource, that in images().items
  double loss = 0;          ///< of it alone
  std::int64_t predicted = -1, actual = -1;                       ///< classes; -1 where a sample has not one class
  double probability = std::numeric_limits<double>::quiet_NaN();  ///< that the model gives to `predicted`
};

/// Which samples are wanted.
struct TopLosses {
  std::int64_t most = 9;  ///< how many
  bool largest = true;    ///< the worst, or else the best
};

namespace detail {

/// [N], double: the loss of each sample as a batch of its own, whatever function gives the mean over a batch.
template <class Loss>
[[nodiscard]] at::Tensor sample_losses(const Fields& output, const Fields& target, std::int64_t samples,
                                       const Loss& loss) {
  std::vector<at::Tensor> losses;
  losses.reserve(static_cast<std::size_t>(samples));
  for (std::int64_t i = 0; i < samples; ++i) {
    const auto alone = [i](const at::Tensor& all) { return all.slice(0, i, i + 1); };
    losses.push_back(loss(output.map(alone), target.map(alone)).detach().reshape({}));
  }
  return at::stack(losses).to(at::kCPU, at::kDouble);
}

/// Adds classes and probabilities, where outputs are [N, classes] or one logit [N, 1] and targets go with them.
void add_classes(std::vector<SampleLoss>& all, std::size_t first, const Fields& outputs, const Fields& targets);

/// The order of torch's topk, as fastai has it: a NaN is the largest. Equal ones stay in their order.
[[nodiscard]] std::vector<SampleLoss> select(std::vector<SampleLoss> all, const TopLosses& which);

template <class Loss>
void add_batch(std::vector<SampleLoss>& all, const Fields& output, const Fields& target, std::int64_t samples,
               const Loss& loss) {
  const c10::NoGradGuard no_grad;
  const at::Tensor losses = sample_losses(output, target, samples, loss);
  const std::size_t first = all.size();
  for (std::int64_t i = 0; i < samples; ++i)
    all.push_back({.sample = static_cast<std::int64_t>(first) + i, .loss = losses.const_data_ptr<double>()[i]});
  add_classes(all, first, output, target);
}

}  // namespace detail

/// The samples with the largest (or smallest) losses, in the order of these; numbered as their outputs are. A sample's
/// loss is what `loss(output, target)` gives for it as a batch of its own, so that any loss will do; class weights,
/// which are divided by, do not show in it. Source: fastai's Interpretation.top_losses.
template <class Loss>
[[nodiscard]] std::vector<SampleLoss> top_losses(const at::Tensor& output, const at::Tensor& target, const Loss& loss,
                                                 const TopLosses& which = {}) {
  std::vector<SampleLoss> all;
  const auto of_tensors = [&](const Fields& o, const Fields& t) -> at::Tensor { return loss(o[0], t[0]); };
  if (output.size(0) > 0) detail::add_batch(all, output, target, output.size(0), of_tensors);
  return detail::select(std::move(all), which);
}

/// The same of a source, by the loss that the learner trains with. Samples are numbered as the source has them in its
/// own order, whether or not it shuffles. Leaves the module in evaluation mode. Throws ConfigError for a source without
/// one (a data loader with a RandomSampler: see DataSource::in_order), DataError for an empty one.
///
///     for (const thaw::SampleLoss& each : thaw::top_losses(learner, valid))
///       fmt::print("{}: {:.2f}\n", valid.images().items[each.sample].path.string(), each.loss);
[[nodiscard]] std::vector<SampleLoss> top_losses(Learner& learner, const DataSource& source,
                                                 const TopLosses& which = {});

/// A row for each: sample, predicted and actual class, loss, probability.
[[nodiscard]] Table losses_table(const std::vector<SampleLoss>& losses, const std::vector<std::string>& classes = {});

}  // namespace thaw

#if THAW_DEFINES(report)

namespace thaw::detail {

THAW_INLINE void add_classes(std::vector<SampleLoss>& all, std::size_t first, const Fields& outputs,
                             const Fields& targets) {
  if (outputs.size() != 1 || targets.size() != 1 || outputs[0].dim() != 2) return;
  const at::Tensor output = outputs[0].detach().to(at::kCPU, at::kDouble);
  at::Tensor target = targets[0].detach().cpu();
  if (target.dim() == 2 && target.size(1) == 1) target = target.squeeze(1);
  const bool logit = output.size(1) == 1;
  if (target.dim() != 1) return;
  if (target.is_floating_point() && (!logit || !(target.eq(0) | target.eq(1)).all().item<bool>())) return;
  const at::Tensor predicted = predicted_classes(output), actual = target.to(at::kLong);
  const at::Tensor probability = logit ? output.squeeze(1).abs().sigmoid() : std::get<0>(output.softmax(1).max(1));
  for (std::int64_t i = 0; i < predicted.size(0); ++i) {
    SampleLoss& each = all[first + static_cast<std::size_t>(i)];
    each.predicted = predicted[i].item<std::int64_t>();
    each.actual = actual[i].item<std::int64_t>();
    each.probability = probability[i].item<double>();
  }
}

THAW_INLINE std::vector<SampleLoss> select(std::vector<SampleLoss> all, const TopLosses& which) {
  if (which.most < 0)
    throw ConfigError("top_losses", fmt::format("{} samples are wanted", which.most), "ask for 0 or more");
  const auto above = [](double a, double b) { return a > b || (std::isnan(a) && !std::isnan(b)); };
  std::ranges::stable_sort(all, [&](const SampleLoss& a, const SampleLoss& b) {
    return which.largest ? above(a.loss, b.loss) : above(b.loss, a.loss);
  });
  all.resize(std::min(all.size(), static_cast<std::size_t>(which.most)));
  return all;
}

}  // namespace thaw::detail

namespace thaw {

THAW_INLINE std::vector<SampleLoss> top_losses(Learner& learner, const DataSource& source, const TopLosses& which) {
  std::vector<SampleLoss> all;
  const auto loss = [&](const Fields& output, const Fields& target) { return learner.criterion(output, target); };
  const auto add = [&](const Fields& output, const Batch& batch) {
    detail::add_batch(all, output, batch.target, batch.size(), loss);
  };
  detail::see_all("top_losses", detail::Samples::told_apart, learner, source, add);
  return detail::select(std::move(all), which);
}

THAW_INLINE Table losses_table(const std::vector<SampleLoss>& losses, const std::vector<std::string>& classes) {
  Table table{.headers = {"sample", "predicted", "actual", "loss", "probability"}};
  for (const SampleLoss& each : losses)
    table.add(each.sample, detail::class_name(classes, each.predicted), detail::class_name(classes, each.actual),
              detail::measured(each.loss),
              std::isnan(each.probability) ? std::string("-") : fmt::format("{:.2f}", each.probability));
  return table;
}

}  // namespace thaw

#endif
