// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/recompute/recompute.hpp>

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include <ATen/Context.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <memory>
#include <string>
#include <thaw/data/in_memory.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric.hpp>
#include <vector>

#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::ForwardPart;
using thaw::Recompute;

namespace {

torch::nn::Sequential deep_net(std::int64_t width = 8) {
  at::manual_seed(5);
  torch::nn::Sequential net;
  for (int block = 0; block < 4; ++block) {
    net->push_back(torch::nn::Linear(block == 0 ? 4 : width, width));
    net->push_back(torch::nn::BatchNorm1d(width));
    net->push_back(torch::nn::ReLU());
    net->push_back(torch::nn::Dropout(0.3));
  }
  net->push_back(torch::nn::Linear(width, 3));
  return net;
}

/// One forward and backward pass: the output, then all gradients, buffers and what is drawn next.
std::vector<at::Tensor> passed(const torch::nn::Sequential& net, const thaw::RunParts& run, const at::Tensor& given) {
  at::manual_seed(9);
  at::Tensor x = given.detach().clone().requires_grad_(given.requires_grad());
  torch::nn::Sequential model = net;
  model->zero_grad();
  const at::Tensor y = run(thaw::forward_parts(model), {x}).at(0);
  y.square().sum().backward();
  std::vector<at::Tensor> all{y.detach()};
  for (const at::Tensor& parameter : net->parameters()) all.push_back(parameter.grad());
  for (const at::Tensor& buffer : net->buffers()) all.push_back(buffer.clone());
  all.push_back(x.grad());
  all.push_back(at::randn({3}));
  return all;
}

ForwardPart::Tensors plain(const std::vector<ForwardPart>& parts, ForwardPart::Tensors x) {
  for (const ForwardPart& part : parts) x = part.forward(x);
  return x;
}

void check_same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    INFO("tensor " << i);
    REQUIRE(a[i].defined() == b[i].defined());
    if (a[i].defined()) CHECK(at::equal(a[i], b[i]));
  }
}

/// The most memory that this thread held at a time, and what it holds.
struct Held : c10::MemoryReportingInfoBase {
  std::int64_t now = 0, most = 0;
  void reportMemoryUsage(void*, std::int64_t size, std::size_t, std::size_t, c10::Device) override {
    now += size;
    most = std::max(most, now);
  }
  [[nodiscard]] bool memoryProfilingEnabled() const override { return true; }
};

std::int64_t most_memory_of(const torch::nn::Sequential& net, const thaw::RunParts& run, const at::Tensor& x) {
  torch::nn::Sequential model = net;
  const auto held = std::make_shared<Held>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, held);
  run(thaw::forward_parts(model), {x}).at(0).square().sum().backward();
  return held->most;
}

}  // namespace

TEST_CASE("outputs, gradients, statistics and random numbers are those of a plain pass, bit for bit") {
  const bool input_trains = GENERATE(false, true);
  const at::Tensor x = at::randn({16, 4}).requires_grad_(input_trains);
  check_same(passed(deep_net(), Recompute{}, x), passed(deep_net(), plain, x));
}

TEST_CASE("a frozen segment is not recomputed, a segment is run twice, the last one once") {
  torch::nn::Sequential net = deep_net();
  net[0]->as<torch::nn::Linear>()->weight.set_requires_grad(false);
  net[0]->as<torch::nn::Linear>()->bias.set_requires_grad(false);
  for (at::Tensor& parameter : net[1]->as<torch::nn::BatchNorm1d>()->parameters()) parameter.set_requires_grad(false);
  std::vector<int> runs(net->size());
  std::vector<ForwardPart> parts = thaw::forward_parts(net);
  for (std::size_t i = 0; i < parts.size(); ++i)
    parts[i].forward = [&runs, i, run = parts[i].forward](const ForwardPart::Tensors& in) {
      return ++runs[i], run(in);
    };
  const at::Tensor x = at::randn({8, 4});
  Recompute{}(parts, {x}).at(0).sum().backward();
  CHECK(runs == std::vector{1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1});

  SECTION("nor is one whose name is not asked for") {
    std::ranges::fill(runs, 0);
    Recompute{.parts = {"4", "12*"}}(parts, {x}).at(0).sum().backward();
    CHECK(runs == std::vector{1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1, 2, 2, 2, 2, 1});
  }
  SECTION("and without gradients each runs once") {
    std::ranges::fill(runs, 0);
    const c10::NoGradGuard no_grad;
    (void)Recompute{}(parts, {x});
    CHECK(std::ranges::all_of(runs, [](int n) { return n == 1; }));
  }
}

TEST_CASE("what lies within segments is not kept") {
  const torch::nn::Sequential net = deep_net(256);
  const at::Tensor x = at::randn({512, 4});
  (void)most_memory_of(net, plain, x);  // makes the gradients
  CHECK(most_memory_of(net, Recompute{}, x) * 10 < most_memory_of(net, plain, x) * 7);
}

TEST_CASE("a segment that gives a view of its input, and one with several tensors") {
  const auto run = [](const thaw::RunParts& how) {
    at::manual_seed(2);
    torch::nn::Linear first(4, 4), last(4, 2);
    const std::vector<ForwardPart> parts{
        {"first",
         {first.ptr()},
         [first](const ForwardPart::Tensors& x) mutable {
           return ForwardPart::Tensors{first(x.at(0)), x.at(1).view({-1})};
         }},
        {"both",
         {},
         [](const ForwardPart::Tensors& x) { return ForwardPart::Tensors{x.at(0) * x.at(1).unsqueeze(1)}; }},
        {"last", {last.ptr()}, [last](const ForwardPart::Tensors& x) mutable {
           return ForwardPart::Tensors{last(x.at(0))};
         }}};
    const at::Tensor x = at::randn({3, 4}), scale = at::randn({3, 1}).requires_grad_();
    how(parts, {x, scale}).at(0).sum().backward();
    return std::vector<at::Tensor>{first->weight.grad(), first->bias.grad(), last->weight.grad(), scale.grad()};
  };
  check_same(run(Recompute{}), run(plain));
}

TEST_CASE("a layer that is used twice, in one segment or in two, gets its gradient once") {
  const auto run = [](const thaw::RunParts& how) {
    at::manual_seed(2);
    torch::nn::Linear layer(4, 4), last(4, 2);
    torch::nn::BatchNorm1d norm(4);
    const std::vector<ForwardPart> parts{
        {"layer", layer}, {"norm", norm}, {"norm again", norm}, {"layer again", layer}, {"last", last}};
    how(parts, {at::randn({6, 4})}).at(0).square().sum().backward();
    return std::vector<at::Tensor>{layer->weight.grad(),     layer->bias.grad(), norm->weight.grad(),
                                   norm->bias.grad(),        norm->running_mean, norm->running_var,
                                   norm->num_batches_tracked};
  };
  check_same(run(Recompute{}), run(plain));
}

TEST_CASE("a Learner trains as without, bit for bit, over stages, with dropout and accumulated gradients") {
  const auto trained = [](const thaw::RunParts& run) {
    torch::nn::Sequential net = deep_net();
    at::manual_seed(3);
    const at::Tensor target = at::randint(3, {60}, at::kLong), input = at::randn({60, 4}) + target.unsqueeze(1);
    const thaw::InMemory data({.input = input, .target = target, .batch_size = 10, .shuffle = true});
    thaw::Learner learner(net, thaw::LayerGroups::cut_at(net, {4, 16}), thaw::cross_entropy,
                          {.train = data, .valid = data, .run_parts = run});
    learner.fit({.epochs = 2, .freeze = thaw::FreezeTo{-1}});
    learner.fit({.epochs = 2, .freeze = thaw::Unfrozen{}}, thaw::GradientAccumulation{.batches = 2});
    CHECK(learner.history().epochs.size() == 4);
    return thaw::test::state_of(*net);
  };
  const auto expected = trained({});
  for (const auto& [name, tensor] : trained(Recompute{})) {
    INFO(name);
    CHECK(at::equal(tensor, expected.at(name)));
  }
}

TEST_CASE("what cannot be recomputed is refused") {
  torch::nn::Sequential net = deep_net();
  const at::Tensor x = at::randn({8, 4});
  CHECK_THROWS_MATCHES(
      Recompute{.parts = {"layer*"}}(thaw::forward_parts(net), {x}), thaw::ConfigError,
      MessageMatches(ContainsSubstring("no part of the model") && ContainsSubstring("\"0\" is the first")));
  const at::Tensor y = Recompute{}(thaw::forward_parts(net), {x}).at(0).square().sum();
  CHECK_THROWS_MATCHES(torch::autograd::grad({y}, {net[0]->as<torch::nn::Linear>()->weight}, {}, true, true),
                       thaw::ConfigError, MessageMatches(ContainsSubstring("gradients of gradients")));
}

TEST_CASE("a Learner refuses parts of a model that has none, or that are not its forward") {
  const thaw::InMemory data({.input = at::randn({8, 4}), .target = at::randint(3, {8}, at::kLong), .batch_size = 4});
  const thaw::test::TinyNet tiny(3, false);
  CHECK_THROWS_MATCHES(thaw::Learner(tiny, thaw::LayerGroups::per_child(tiny), thaw::cross_entropy,
                                     {.train = data, .run_parts = Recompute{}}),
                       thaw::ConfigError, MessageMatches(ContainsSubstring("cannot be run in parts")));
  struct OtherImpl : torch::nn::Module {
    torch::nn::Linear linear{register_module("linear", torch::nn::Linear(4, 3))};
    at::Tensor forward(const at::Tensor& x) { return linear(x) * 2; }
    std::vector<ForwardPart> forward_parts() { return {{"linear", linear}}; }
  };
  const auto other = std::make_shared<OtherImpl>();
  thaw::Learner learner(other, thaw::LayerGroups::per_child(other), thaw::cross_entropy,
                        {.train = data, .run_parts = Recompute{}});
  CHECK_THROWS_MATCHES(learner.fit({}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("do not give what its forward gives")));
}
