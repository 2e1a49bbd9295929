// SPDX-License-Identifier: BSD-3-Clause
// What is reproducible, as docs/determinism.md says it.

#include <torch/data/dataloader.h>
#include <torch/data/datasets/map.h>
#include <torch/data/samplers/random.h>
#include <torch/data/transforms/stack.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <functional>
#include <map>
#include <string>
#include <thaw/core/random_state.hpp>
#include <thaw/data/in_memory.hpp>
#include <thaw/data/prefetch.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/train/mixup.hpp>

#include "support/nets.hpp"
#include "support/samples.hpp"

namespace {

/// As many threads as a test asks for, while it lives.
struct Threads {
  explicit Threads(int n) { at::set_num_threads(n); }
  ~Threads() { at::set_num_threads(before); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  int before = at::get_num_threads();
};

thaw::InMemory images(std::int64_t n) {
  const at::Generator own = at::make_generator<at::CPUGeneratorImpl>(5);
  const at::Tensor target = at::randint(0, 3, {n}, own, at::kLong);
  return thaw::InMemory({.input = at::randn({n, 3, 12, 12}, own, at::kFloat) + target.view({-1, 1, 1, 1}),
                         .target = target,
                         .batch_size = 8,
                         .shuffle = true,
                         .transform = [](const thaw::Fields& x, at::Generator random) {
                           return thaw::Fields(x[0] + .1 * at::randn(x[0].sizes(), random, at::kFloat));
                         }});
}

/// A whole run: head, then all, with dropout and MixUp. Gives every tensor of the network.
std::map<std::string, at::Tensor> fine_tuned(std::uint64_t seed, thaw::DataSource train = images(44)) {
  thaw::seed(seed);
  torch::nn::Sequential net(torch::nn::Conv2d(3, 8, 3), torch::nn::BatchNorm2d(8), torch::nn::ReLU(),
                            torch::nn::Conv2d(8, 16, 3), torch::nn::AdaptiveAvgPool2d(1), torch::nn::Flatten(),
                            torch::nn::Dropout(0.2), torch::nn::Linear(16, 3));
  thaw::Learner learner(net, thaw::LayerGroups::cut_at(net, {3, 7}), thaw::cross_entropy,
                        {.train = std::move(train), .valid = images(20), .metrics = {thaw::accuracy()}});
  learner.fine_tune(2, 1e-2, {}, thaw::MixUp{});
  return thaw::test::state_of(*net);
}

bool same_bits(const std::map<std::string, at::Tensor>& a, const std::map<std::string, at::Tensor>& b) {
  return std::ranges::equal(a, b, [](const auto& one, const auto& other) {
    return one.first == other.first && one.second.equal(other.second);
  });
}

}  // namespace

TEST_CASE("a run with the same seed and as many threads is the same, bit for bit; another seed gives another") {
  const Threads threads(GENERATE(1, 2));
  const auto once = fine_tuned(3);
  CHECK(same_bits(once, fine_tuned(3)));
  CHECK_FALSE(same_bits(once, fine_tuned(4)));
}

TEST_CASE("how far ahead batches are made does not matter") {
  const auto plain = fine_tuned(3);
  const std::int64_t ahead = GENERATE(1, 2, 7);
  CHECK(same_bits(plain, fine_tuned(3, thaw::Prefetch{images(44), {.batches = ahead}})));
}

TEST_CASE("how many workers LibTorch's loader has does not matter, for the batches and their order") {
  const auto run = [](std::size_t workers) {
    const at::Generator own = at::make_generator<at::CPUGeneratorImpl>(5);
    const at::Tensor y = at::randint(0, 3, {44}, own, at::kLong);
    const thaw::test::Samples samples(at::randn({44, 3, 12, 12}, own, at::kFloat) + y.view({-1, 1, 1, 1}), y);
    return fine_tuned(3, torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
                             thaw::test::Samples(samples).map(torch::data::transforms::Stack<>()),
                             torch::data::DataLoaderOptions(8).workers(workers)));
  };
  CHECK(same_bits(run(0), run(GENERATE(1, 2, 5))));
}
