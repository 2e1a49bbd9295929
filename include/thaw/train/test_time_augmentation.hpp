#pragma once

#include <ATen/ops/lerp.h>
#include <ATen/ops/softmax.h>

#include <cstdint>
#include <functional>
#include <string>

#include <thaw/train/learner.hpp>

namespace thaw {

struct TestTimeAugmentation {
  std::int64_t passes = 4;  ///< over augmented data
  double beta = 0.25;       ///< weight of the plain predictions; the rest is the mean of the augmented ones
  /// Of the model's output, before anything is averaged. Default: softmax over dimension 1.
  std::function<at::Tensor(const at::Tensor&)> activation = [](const at::Tensor& x) { return x.softmax(1); };
};

/// Predictions that are steadier than one look at each sample: beta plain + (1 - beta) mean of `passes` predictions on
/// `augment(input)`, all after the activation. One pass over the source, which may be in any order. Changes nothing but
/// the module's mode. Source: fastai's `Learner.tta`. Throws ConfigError for a number of passes or a beta that make no
/// sense, DataError for an empty source.
template <class Augment>
[[nodiscard]] at::Tensor predict_augmented(Learner& learner, const DataSource& source, Augment augment,
                                           const TestTimeAugmentation& how = {}) {
  if (how.passes < 1 || !(how.beta >= 0 && how.beta <= 1))
    throw ConfigError("predict_augmented", std::to_string(how.passes) + " passes, beta " + detail::number(how.beta),
                      "give at least one pass and a beta in [0, 1]");
  const auto predicted = [&](const Fields& input) { return how.activation(learner.predict(input)); };
  std::vector<at::Tensor> all;
  BatchStream next = source ? source.stream() : [] { return std::optional<Batch>(); };
  while (const std::optional<Batch> batch = next()) {
    at::Tensor augmented = predicted(augment(batch->input));
    for (std::int64_t pass = 1; pass < how.passes; ++pass) augmented = augmented + predicted(augment(batch->input));
    all.push_back(at::lerp(augmented / static_cast<double>(how.passes), predicted(batch->input), how.beta));
  }
  if (all.empty()) throw DataError("predict_augmented", "the source is empty", "give it at least one batch");
  return at::cat(all);
}

}  // namespace thaw
