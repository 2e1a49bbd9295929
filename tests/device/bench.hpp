// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cstdint>
#include <string>
#include <utility>

#include <thaw/data/in_memory.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>

#include "device/accelerator.hpp"
#include "device/device.hpp"

namespace thaw::test {

/// A network for images of 8 x 8, with batch norm, in double. Groups: from "stem", "body", "head".
inline torch::nn::Sequential small_network(double dropout = 0) {
  at::manual_seed(1);
  torch::nn::Sequential net;
  net->push_back("stem", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 4, 3).padding(1).bias(false)));
  net->push_back("norm", torch::nn::BatchNorm2d(4));
  net->push_back("act", torch::nn::ReLU());
  net->push_back("pool", torch::nn::MaxPool2d(2));
  net->push_back("body", torch::nn::Conv2d(4, 6, 3));
  net->push_back("act2", torch::nn::ReLU());
  if (dropout > 0) net->push_back("dropout", torch::nn::Dropout(dropout));
  net->push_back("mean", torch::nn::AdaptiveAvgPool2d(1));
  net->push_back("flat", torch::nn::Flatten());
  net->push_back("head", torch::nn::Linear(6, 3));
  net->to(at::kDouble);
  return net;
}

struct Pictures {
  std::int64_t samples = 40;
  std::uint64_t seed = 1;
  bool shuffle = true;
  at::ScalarType type = at::kDouble;
  at::Device device = at::kCPU;
};
/// Images of three classes, in batches of 8.
inline InMemory pictures(const Pictures& of) {
  const at::Generator random = at::make_generator<at::CPUGeneratorImpl>(of.seed);
  const at::Tensor target = at::randint(3, {of.samples}, random, at::kLong);
  const at::Tensor noise = at::randn({of.samples, 3, 8, 8}, random, at::kDouble);
  return InMemory({.input = (noise + target.view({of.samples, 1, 1, 1})).to(of.device, of.type),
                   .target = target.to(of.device),
                   .batch_size = 8,
                   .shuffle = of.shuffle});
}

/// A Learner on a device. Nothing that the simulated accelerator could complain of happens to it.
struct Bench {
  explicit Bench(at::Device device_, LearnerOptions more = {}, torch::nn::Sequential net_ = small_network(),
                 const CrossEntropy& loss = cross_entropy)
      : device(device_), net(std::move(net_)), learner(net, groups(), loss, filled(std::move(more))) {}
  ~Bench() {
    for (const std::string& each : accelerator::misuse()) FAIL_CHECK(each);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  at::Device device;
  torch::nn::Sequential net;
  Learner learner;

 private:
  LayerGroups groups() {
    net->to(device);
    return LayerGroups::cut_before(net, {"body", "head"});
  }
  static LearnerOptions filled(LearnerOptions options) {
    if (!options.train) options.train = pictures({});
    if (!options.valid) options.valid = pictures({.samples = 20, .seed = 2, .shuffle = false});
    return options;
  }
};

inline bool near(double found, double expected, double scale = 1e3) {
  return Catch::Matchers::WithinRel(expected, scale * tolerance()).match(found) ||
         (std::isnan(found) && std::isnan(expected));
}

inline void check_near(const Evaluation& found, const Evaluation& expected) {
  CHECK(near(found.loss, expected.loss));
  REQUIRE(found.metrics.size() == expected.metrics.size());
  for (std::size_t i = 0; i < found.metrics.size(); ++i) {
    CAPTURE(found.metrics[i].name);
    CHECK(near(found.metrics[i].value, expected.metrics[i].value));
  }
}

/// Weights, statistics, losses and metrics of a run on the device are those of one on the CPU.
inline void check_near(const Learner& found, const Learner& expected) {
  const torch::nn::Module &here = *found.groups().module(), &there = *expected.groups().module();
  for (const auto& [a, b] : {std::pair{here.named_parameters(), there.named_parameters()},
                             std::pair{here.named_buffers(), there.named_buffers()}})
    for (const auto& each : a) {
      CAPTURE(each.key());
      CHECK(each.value().device() == found.device());
      CHECK(near(each.value(), b[each.key()]));
    }
  const History &x = found.history(), &y = expected.history();
  REQUIRE(x.steps.size() == y.steps.size());
  for (std::size_t i = 0; i < x.steps.size(); ++i) CHECK(near(x.steps[i].loss, y.steps[i].loss));
  REQUIRE(x.epochs.size() == y.epochs.size());
  for (std::size_t i = 0; i < x.epochs.size(); ++i) check_near(x.epochs[i].valid.value(), y.epochs[i].valid.value());
}

/// Bit for bit.
inline bool same_weights(const torch::nn::Module& a, const torch::nn::Module& b) {
  const auto there = b.named_parameters();
  for (const auto& each : a.named_parameters())
    if (!each.value().cpu().equal(there[each.key()].cpu())) return false;
  const auto buffers = b.named_buffers();
  for (const auto& each : a.named_buffers())
    if (!each.value().cpu().equal(buffers[each.key()].cpu())) return false;
  return true;
}

}  // namespace thaw::test
