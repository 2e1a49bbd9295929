// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/softmax.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <thaw/train/learner.hpp>

namespace thaw {

struct TestTimeAugmentation {
  std::int64_t passes = 4;  ///< over augmented data
  double beta = 0.25;       ///< weight of the plain predictions; the rest is the mean of the augmented ones
  /// Of the model's output, before anything is averaged. Default: softmax over dimension 1.
  std::function<at::Tensor(const at::Tensor&)> activation = [](const at::Tensor& x) { return x.softmax(1); };
};

namespace detail {

inline void check(const TestTimeAugmentation& how) {
  if (how.passes < 1 || !(how.beta >= 0 && how.beta <= 1))
    throw ConfigError("predict_augmented", std::to_string(how.passes) + " passes, beta " + number(how.beta),
                      "give at least one pass and a beta in [0, 1]");
}

/// Of every sample, in the source's own order, as in its pass of that number.
[[nodiscard]] inline at::Tensor predict_pass(Learner& learner, const DataSource& source, std::int64_t pass,
                                             const TestTimeAugmentation& how) {
  std::vector<at::Tensor> all;
  for (BatchStream next = source.indexed()->in_order(pass); const std::optional<Batch> batch = next();)
    all.push_back(how.activation(learner.predict(batch->input)));
  return at::cat(all);
}

}  // namespace detail

/// Predictions that are steadier than one look at each sample: beta plain + (1 - beta) mean of `passes` predictions on
/// `augment(input)`, all after the activation. One pass over the source: all its samples, in its own order (see
/// DataSource::in_order). Changes nothing but the module's mode. Source: fastai's `Learner.tta`. Throws ConfigError for
/// a number of passes or a beta that make no sense and for a source without an order, DataError for an empty one.
template <class Augment>
  requires std::is_invocable_v<Augment&, const Fields&>
[[nodiscard]] at::Tensor predict_augmented(Learner& learner, const DataSource& source, Augment augment,
                                           const TestTimeAugmentation& how = {}) {
  detail::check(how);
  const auto predicted = [&](const Fields& input) { return how.activation(learner.predict(input)); };
  std::vector<at::Tensor> all;
  BatchStream next = source ? source.in_order() : [] { return std::optional<Batch>(); };
  while (const std::optional<Batch> batch = next()) {
    at::Tensor augmented = predicted(augment(batch->input));
    for (std::int64_t pass = 1; pass < how.passes; ++pass) augmented = augmented + predicted(augment(batch->input));
    all.push_back(at::lerp(augmented / static_cast<double>(how.passes), predicted(batch->input), how.beta));
  }
  if (all.empty()) throw DataError("predict_augmented", "the source is empty", "give it at least one batch");
  return at::cat(all);
}

/// The same where the source itself augments, each pass otherwise: beta `plain` + (1 - beta) mean of passes 0, 1, ...
/// of `augmented`, which has the same samples. Both are IndexedSources, as vision::ImageSource and InMemory are; the
/// result is in the order of their samples. Throws ConfigError for other sources, DataError for different numbers of
/// samples.
[[nodiscard]] inline at::Tensor predict_augmented(Learner& learner, const DataSource& plain,
                                                  const DataSource& augmented, const TestTimeAugmentation& how = {}) {
  detail::check(how);
  if (plain.indexed() == nullptr || augmented.indexed() == nullptr)
    throw ConfigError("predict_augmented", "a source does not know its samples by number",
                      "give a vision::ImageSource or an InMemory, or a function that augments a batch");
  if (plain.indexed()->samples != augmented.indexed()->samples)
    throw DataError("predict_augmented",
                    std::to_string(plain.indexed()->samples) + " samples as they are, and " +
                        std::to_string(augmented.indexed()->samples) + " augmented",
                    "give the same samples twice");
  at::Tensor sum = detail::predict_pass(learner, augmented, 0, how);
  for (std::int64_t pass = 1; pass < how.passes; ++pass) sum += detail::predict_pass(learner, augmented, pass, how);
  return at::lerp(sum / static_cast<double>(how.passes), detail::predict_pass(learner, plain, 0, how), how.beta);
}

}  // namespace thaw
