// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
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

/// Loss and metrics over one pass of all processes, without gradients, read from the device once. `classes`: their
/// names, where they are known.
inline Evaluation evaluate(const Task& task, const std::vector<Metric>& metrics, BatchStream next,
                           const at::Device& device, const World& world = {},
                           const std::vector<std::string>& classes = {}) {
  const c10::NoGradGuard no_grad;
  at::Tensor loss = at::zeros({2}, at::device(device).dtype(at::kDouble));  // its sum, and how much it is over
  double samples = 0;
  std::vector<MetricTotal> totals(metrics.begin(), metrics.end());
  const auto one_pass = [&] {
    while (const std::optional<Batch> host = next()) {
      const Batch batch = host->to(device);
      const Fields output = task.forward(batch.input);
      const auto n = static_cast<double>(batch.counted());
      if (n > 0) {
        const at::Tensor counts =
            task.counted ? task.counted(output, batch.target).to(at::kDouble) * n : at::full({}, n, loss.options());
        const at::Tensor mean = task.loss(output, batch.target).to(at::kDouble).reshape({});
        loss.add_(at::stack({at::where(counts.gt(0), mean * counts, 0.0), counts}));
        samples += n;
      }
      for (MetricTotal& total : totals) total.add(output, batch.target, !batch.stand_in);
    }
  };
  world.together(one_pass);
  world.sum(loss);
  if (world.all_reduce({samples})[0] == 0)
    throw DataError("validation data", "a pass over it gives no batches",
                    "give a source that can be run through again");
  for (MetricTotal& total : totals) total.merge_over(world);
  std::vector<at::Tensor> values, flat{(loss[0] / loss[1]).reshape({1})};
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
  Evaluation result{.loss = take(loss[0]).item<double>()};
  for (std::size_t i = 0; i < totals.size(); ++i)
    for (MetricValue& named : totals[i].named(take(values[i]), classes)) result.metrics.push_back(std::move(named));
  return result;
}

}  // namespace thaw::detail
