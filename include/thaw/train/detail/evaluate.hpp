#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/data/source.hpp>
#include <thaw/train/detail/task.hpp>
#include <thaw/train/history.hpp>
#include <thaw/train/metric.hpp>

namespace thaw::detail {

/// Loss and metrics over one pass, without gradients, read from the device once.
inline Evaluation evaluate(const Task& task, const std::vector<Metric>& metrics, const DataSource& source,
                           const at::Device& device) {
  const c10::NoGradGuard no_grad;
  const auto count = static_cast<std::int64_t>(1 + metrics.size());
  at::Tensor sums = at::zeros({count}, at::device(device).dtype(at::kDouble));
  double samples = 0;
  BatchStream next = source.stream();
  while (const std::optional<Batch> host = next()) {
    const Batch batch = host->to(device);
    const Fields output = task.forward(batch.input);
    std::vector<at::Tensor> values{task.loss(output, batch.target).to(at::kDouble)};
    for (const Metric& metric : metrics) values.push_back(metric.mean(output, batch.target).to(at::kDouble));
    sums.add_(at::stack(values), static_cast<double>(batch.size()));
    samples += static_cast<double>(batch.size());
  }
  const at::Tensor means = (sums / samples).cpu();
  const double* value = means.data_ptr<double>();
  Evaluation result{.loss = *value};
  for (const Metric& metric : metrics) result.metrics.push_back({.name = metric.name, .value = *++value});
  return result;
}

/// Tries one batch of the source on the model: what would fail in the middle of training fails here, and says it
/// better.
inline void check_source(const Task& task, const DataSource& source, std::int64_t epoch, const at::Device& device) {
  const c10::NoGradGuard no_grad;
  const std::optional<Batch> first = source.first(epoch);
  if (!first)
    throw DataError("data", "a second pass over it gives no batches", "give a source that can be run through again");
  const Batch batch = first->to(device);
  const Fields output = task.forward(batch.input);
  if (task.check) task.check(output, source.targets().empty() ? batch.target : source.targets());
  const at::Tensor loss = task.loss(output, batch.target);
  if (loss.numel() != 1)
    throw ConfigError("loss", "it gives " + std::to_string(loss.numel()) + " values for a batch",
                      "return one number: the mean over the samples");
}

}  // namespace thaw::detail
