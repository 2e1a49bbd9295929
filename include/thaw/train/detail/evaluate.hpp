#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include <thaw/core/error.hpp>
#include <thaw/data/source.hpp>
#include <thaw/train/detail/task.hpp>
#include <thaw/train/history.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/train/metric_total.hpp>
#include <thaw/train/world.hpp>

namespace thaw::detail {

/// Loss and metrics over one pass of all processes, without gradients, read from the device once.
inline Evaluation evaluate(const Task& task, const std::vector<Metric>& metrics, BatchStream next,
                           const at::Device& device, const World& world = {}) {
  const c10::NoGradGuard no_grad;
  at::Tensor loss = at::zeros({1}, at::device(device).dtype(at::kDouble));
  double samples = 0;
  std::vector<MetricTotal> totals(metrics.begin(), metrics.end());
  const auto one_pass = [&] {
    while (const std::optional<Batch> host = next()) {
      const Batch batch = host->to(device);
      const Fields output = task.forward(batch.input);
      const auto n = static_cast<double>(batch.counted());
      if (n > 0) loss.add_(task.loss(output, batch.target).to(at::kDouble), n);
      for (MetricTotal& total : totals) total.add(output, batch.target, !batch.stand_in);
      samples += n;
    }
  };
  world.together(one_pass);
  world.sum(loss);
  samples = world.sums({samples})[0];
  if (samples == 0)
    throw DataError("validation data", "a pass over it gives no batches",
                    "give a source that can be run through again");
  for (MetricTotal& total : totals) total.merge_over(world);
  std::vector<at::Tensor> values, flat{loss / samples};
  for (const MetricTotal& total : totals) {
    values.push_back(total.value());
    flat.push_back(values.back().reshape(-1));
  }
  at::Tensor rest = at::cat(flat).cpu();
  const auto take = [&rest](const at::Tensor& like) {
    const at::Tensor taken = rest.slice(0, 0, like.numel()).reshape(like.sizes());
    rest = rest.slice(0, like.numel());
    return taken;
  };
  Evaluation result{.loss = take(loss).item<double>()};
  for (std::size_t i = 0; i < totals.size(); ++i)
    for (MetricValue& named : totals[i].named(take(values[i]))) result.metrics.push_back(std::move(named));
  return result;
}

/// Tries one batch of the source on the model: what would fail in the middle of training fails here, and says it
/// better.
inline void check_source(const Task& task, const DataSource& source, std::int64_t epoch, const Shard& shard,
                         const at::Device& device, const std::vector<Metric>& metrics = {}) {
  const c10::NoGradGuard no_grad;
  const std::optional<Batch> first = source.first(epoch, shard);
  if (!first)
    throw DataError("data", "a second pass over it gives no batches", "give a source that can be run through again");
  const Batch batch = first->to(device);
  const Fields output = task.forward(batch.input);
  if (task.check) task.check(output, source.targets().empty() ? batch.target : source.targets());
  const at::Tensor loss = task.loss(output, batch.target);
  if (loss.numel() != 1)
    throw ConfigError("loss", "it gives " + std::to_string(loss.numel()) + " values for a batch",
                      "return one number: the mean over the samples");
  for (const Metric& metric : metrics) MetricTotal(metric).add(output, batch.target);
}

}  // namespace thaw::detail
