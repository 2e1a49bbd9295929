// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/data/datasets/base.h>

#include <ATen/core/Tensor.h>
#include <cstdint>
#include <optional>
#include <vector>

#include <thaw/data/source.hpp>

namespace thaw::test {

/// Rows of two tensors, as LibTorch's own loader takes them.
struct Samples : torch::data::datasets::Dataset<Samples> {
  Samples(at::Tensor inputs, at::Tensor targets) : x(std::move(inputs)), y(std::move(targets)) {}
  torch::data::Example<> get(std::size_t i) override {
    return {x[static_cast<std::int64_t>(i)], y[static_cast<std::int64_t>(i)]};
  }
  [[nodiscard]] std::optional<std::size_t> size() const override { return static_cast<std::size_t>(x.size(0)); }
  at::Tensor x, y;
};

/// One pass.
inline std::vector<Batch> all(const DataSource& source, std::int64_t epoch = 0) {
  std::vector<Batch> batches;
  for (auto next = source.stream(epoch); auto b = next();) batches.push_back(*b);
  return batches;
}

}  // namespace thaw::test
