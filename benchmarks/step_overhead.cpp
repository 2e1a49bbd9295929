// SPDX-License-Identifier: BSD-3-Clause
// What a Learner's step costs more than the same step in a loop written by hand, on a network so small that next to
// nothing hides it. thaw's goal: at most 5 microseconds.
//
//   cmake --preset bench && cmake --build --preset bench && build/bench/benchmarks/step_overhead
//
// Both sides do the same work on one thread: gather a shuffled batch, forward, cross entropy, backward, one-cycle's
// rate and momentum, optimizer step, zero_grad, and the loss kept on its device. At the end they must agree on every
// bit of the weights. They take short turns, so that a machine that slows down slows both; the difference is the median
// over pairs of turns, and means little on a machine that has other work.

#include "bench.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thaw/thaw.hpp>
#include <tuple>
#include <vector>

namespace {

constexpr std::int64_t features = 16, hidden = 32, classes = 4, batch_size = 16, steps = 100;
constexpr int warm_up = 20;
constexpr double peak_lr = 1e-3;
constexpr double goal = 5;  // microseconds
constexpr thaw::OneCycle one_cycle{};

struct MlpImpl : torch::nn::Module {
  torch::nn::Linear first{register_module("first", torch::nn::Linear(features, hidden))};
  torch::nn::Linear second{register_module("second", torch::nn::Linear(hidden, hidden))};
  torch::nn::Linear head{register_module("head", torch::nn::Linear(hidden, classes))};

  at::Tensor forward(const at::Tensor& x) { return head(second(first(x).relu()).relu()); }
};
TORCH_MODULE(Mlp);

using OptimizerPtr = std::unique_ptr<torch::optim::Optimizer>;
using MakeOptimizer = OptimizerPtr (*)(const thaw::LayerGroups&);

/// One side: a network, the same each time, its layer groups and its optimizer.
struct Side {
  Mlp model;
  thaw::LayerGroups groups;

  static Side make() {
    at::manual_seed(1);
    Mlp model;
    return {model, thaw::LayerGroups::cut_before(model, {"head"})};
  }
};

struct Data {
  at::Tensor input = at::randn({steps * batch_size, features});
  at::Tensor target = at::randint(classes, {steps * batch_size}, at::kLong);

  [[nodiscard]] thaw::InMemory batches() const {
    return thaw::InMemory({.input = input, .target = target, .batch_size = batch_size, .shuffle = true});
  }

  /// In which order those batches take the samples.
  [[nodiscard]] at::Tensor order(std::int64_t epoch) const {
    const thaw::InMemory numbers(
        {.input = at::arange(input.size(0)), .target = target, .batch_size = batch_size, .shuffle = true});
    std::vector<at::Tensor> parts;
    thaw::BatchStream next = numbers.stream(epoch);
    while (const std::optional<thaw::Batch> batch = next()) parts.push_back(batch->input);
    return at::cat(parts);
  }
};

/// Beta1 of AdamW, momentum of SGD: a loop written by hand knows which optimizer it has.
void set_momentum(torch::optim::AdamWOptions& options, double momentum) {
  options.betas({momentum, std::get<1>(options.betas())});
}
void set_momentum(torch::optim::SGDOptions& options, double momentum) {
  options.momentum(momentum);
}

/// The loop by hand: returns the mean loss of one pass.
template <class Options>
double by_hand(Mlp& model, torch::optim::Optimizer& optimizer, const Data& data, const at::Tensor& order) {
  model->train();
  std::vector<at::Tensor> losses;
  for (std::int64_t step = 0; step < steps; ++step) {
    const thaw::ScheduleValue now = one_cycle(static_cast<double>(step) / static_cast<double>(steps));
    for (auto& group : optimizer.param_groups()) {
      auto& options = static_cast<Options&>(group.options());
      options.lr(peak_lr * now.lr);
      set_momentum(options, *now.momentum);
    }
    const at::Tensor samples = order.slice(0, step * batch_size, (step + 1) * batch_size);
    const at::Tensor input = data.input.index_select(0, samples), target = data.target.index_select(0, samples);
    const at::Tensor loss = torch::nn::functional::cross_entropy(model(input), target);
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
    losses.push_back(loss.detach());
  }
  return at::stack(losses).mean(at::kDouble).item<double>();
}

/// Microseconds per step.
template <class Pass>
double timed(Pass pass) {
  const auto start = std::chrono::steady_clock::now();
  pass();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() /
         static_cast<double>(steps);
}

bool same_weights(const Mlp& a, const Mlp& b) {
  const auto left = a->parameters(), right = b->parameters();
  return std::ranges::equal(left, right, [](const at::Tensor& x, const at::Tensor& y) { return x.equal(y); });
}

/// Returns whether both sides trained to the same weights.
template <class Options>
bool compare(const std::string& name, MakeOptimizer make_optimizer, const Data& data, int rounds,
             bench::Report& report) {
  Side ours = Side::make(), hand = Side::make();
  thaw::Learner learner{
      ours.model, ours.groups, thaw::cross_entropy, {.train = data.batches(), .optimizer = make_optimizer}};
  const OptimizerPtr optimizer = make_optimizer(hand.groups);

  std::vector<double> with_learner, with_hand, difference;
  for (int round = 0; round < warm_up + rounds; ++round) {
    const at::Tensor order = data.order(round);
    double hand_time = 0, learner_time = 0;
    const auto hand_turn = [&] {
      hand_time = timed([&] { (void)by_hand<Options>(hand.model, *optimizer, data, order); });
    };
    const auto learner_turn = [&] {
      learner_time =
          timed([&] { (void)learner.fit({.freeze = thaw::Unfrozen{}, .lr = peak_lr, .schedule = one_cycle}); });
    };
    if (round % 2 == 0)  // neither side always finds the caches as the other left them
      hand_turn(), learner_turn();
    else
      learner_turn(), hand_turn();
    if (round < warm_up) continue;
    with_hand.push_back(hand_time);
    with_learner.push_back(learner_time);
    difference.push_back(learner_time - hand_time);
  }

  const double hand_us = bench::median(with_hand);
  report.add("a step of the Learner with " + name + ", by hand", bench::median(with_learner), hand_us, "us",
             bench::Target::at_most, (hand_us + goal) / hand_us);
  report.add("  median difference, against the goal", bench::median(difference), goal, "us", bench::Target::at_most, 1);
  return same_weights(ours.model, hand.model);
}

/// One side alone, for benchmarks/profile.sh to count its instructions: so many passes with AdamW.
template <class Options>
void run_alone(std::string_view side, int passes, MakeOptimizer make_optimizer, const Data& data) {
  Side it = Side::make();
  if (side == "thaw") {
    thaw::Learner learner{
        it.model, it.groups, thaw::cross_entropy, {.train = data.batches(), .optimizer = make_optimizer}};
    for (int i = 0; i < passes; ++i)
      (void)learner.fit({.freeze = thaw::Unfrozen{}, .lr = peak_lr, .schedule = one_cycle});
  } else {
    const OptimizerPtr optimizer = make_optimizer(it.groups);
    const at::Tensor order = data.order(0);
    for (int i = 0; i < passes; ++i) (void)by_hand<Options>(it.model, *optimizer, data, order);
  }
}

OptimizerPtr sgd(const thaw::LayerGroups& groups) {
  return std::make_unique<torch::optim::SGD>(thaw::param_groups(groups), torch::optim::SGDOptions(0.1).momentum(0.9));
}

OptimizerPtr adamw(const thaw::LayerGroups& groups) {
  return std::make_unique<thaw::AdamW>(groups);
}

}  // namespace

int main(int count, char** words) {
  at::set_num_threads(1);
  at::manual_seed(0);
  const Data data;
  if (count == 4 && std::string_view(words[1]) == "--alone") {  // --alone thaw|hand PASSES
    run_alone<torch::optim::AdamWOptions>(words[2], std::atoi(words[3]), adamw, data);
    return EXIT_SUCCESS;
  }
  const bench::Arguments arguments(count, words);
  const int rounds = arguments.quick ? 60 : 200;
  bench::Report report;
  const bool same = compare<torch::optim::SGDOptions>("SGD", sgd, data, rounds, report) &
                    compare<torch::optim::AdamWOptions>("AdamW", adamw, data, rounds, report);
  report.finish(arguments);
  if (!same) {
    fmt::print(stderr, "the two sides do not agree on the weights, so they did not do the same work\n");
    return EXIT_FAILURE;
  }
}
