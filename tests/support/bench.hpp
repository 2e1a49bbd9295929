// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/optim/sgd.h>

#include <ATen/ops/randint.h>
#include <memory>
#include <thaw/data/in_memory.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>

#include "support/nets.hpp"

namespace thaw::test {

struct BenchOptions {
  std::int64_t samples = 40, batch_size = 8;
  bool norm = false, valid = true, sgd = true;
  at::ScalarType dtype = at::kDouble;
};

/// A tiny net on separable data of its own: three groups (stem, body, head), three classes. By default in double and
/// with plain SGD, so that what should be equal is equal to rounding.
struct Bench {
  explicit Bench(BenchOptions options = {}) {
    at::manual_seed(7);
    net = TinyNet(3, options.norm);
    for (at::Tensor& parameter : net->parameters()) parameter.set_data(parameter.to(options.dtype));
    for (at::Tensor buffer : net->buffers())
      if (buffer.is_floating_point()) buffer.set_data(buffer.to(options.dtype));
    target = at::randint(3, {options.samples}, at::kLong);
    input = at::randn({options.samples, 4}, options.dtype) + target.unsqueeze(1);
    LearnerOptions learner_options{.train = data(options.batch_size)};
    if (options.valid) learner_options.valid = data(16);
    if (options.sgd)
      learner_options.optimizer = [](const LayerGroups& groups) -> std::unique_ptr<torch::optim::Optimizer> {
        return std::make_unique<torch::optim::SGD>(param_groups(groups), torch::optim::SGDOptions(0.1));
      };
    learner = std::make_unique<Learner>(net, LayerGroups::cut_before(net, {"body", "head"}), cross_entropy,
                                        std::move(learner_options));
  }

  [[nodiscard]] InMemory data(std::int64_t batch_size) const {
    return InMemory({.input = input, .target = target, .batch_size = batch_size});
  }

  TinyNet net{nullptr};
  at::Tensor input, target;
  std::unique_ptr<Learner> learner;
};

/// A source that gives its samples in whatever order, and says so.
struct WithoutOrder {
  InMemory source;
  [[nodiscard]] std::int64_t batches() const { return source.batches(); }
  [[nodiscard]] BatchStream stream(std::int64_t epoch) const { return source.stream(epoch); }
  [[nodiscard]] bool ordered() const { return false; }
};

}  // namespace thaw::test
