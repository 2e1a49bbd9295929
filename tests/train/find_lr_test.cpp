// SPDX-License-Identifier: BSD-3-Clause
// The Learner's find_lr: it leaves no trace, in the data least of all.

#include <torch/data/dataloader.h>
#include <torch/data/datasets/map.h>
#include <torch/data/samplers/random.h>
#include <torch/data/transforms/stack.h>
#include <torch/nn/modules/dropout.h>

#include <ATen/Context.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <csignal>
#include <functional>
#include <thaw/data/in_memory.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/mixup.hpp>
#include <thaw/train/terminate_on_nan.hpp>

#include "support/bench.hpp"
#include "support/nets.hpp"
#include "support/samples.hpp"
#include "support/sigint.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::DataSource;
using thaw::Learner;
using thaw::test::Samples;
using thaw::test::state_of;

namespace {

const at::Tensor labels = at::arange(24) % 3;
const at::Tensor inputs = at::arange(96).view({24, 4}).mul(0.7).sin() + labels.unsqueeze(1);

DataSource loader(std::size_t workers) {
  return torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
      Samples(inputs, labels).map(torch::data::transforms::Stack<>()),
      torch::data::DataLoaderOptions(4).workers(workers));
}

DataSource shuffled_memory() {
  return thaw::InMemory({.input = inputs, .target = labels, .batch_size = 4, .shuffle = true});
}

/// The inputs of every batch, in order.
struct Order {
  std::vector<at::Tensor> seen = {};
  void on_batch_ready(const thaw::BatchReady& event) { seen.push_back(event.batch.input[0].clone()); }
};

struct Outcome {
  std::map<std::string, at::Tensor> weights;
  at::Tensor order, random;
  std::vector<double> losses;
};

enum class When { never, first, between };

/// Three epochs, with dropout, and `look` before all, or after the first.
Outcome train(const std::function<DataSource()>& data, When when, const std::function<void(Learner&)>& look) {
  at::manual_seed(11);
  torch::nn::Sequential net(torch::nn::Linear(4, 6), torch::nn::BatchNorm1d(6), torch::nn::Tanh(),
                            torch::nn::Dropout(0.3), torch::nn::Linear(6, 3));
  Learner learner(net, thaw::LayerGroups::cut_at(net, {4}), thaw::cross_entropy, {.train = data(), .valid = data()});
  Order order;
  if (when == When::first) look(learner);
  learner.fit({.epochs = 1, .freeze = thaw::Unfrozen{}}, std::ref(order));
  if (when == When::between) look(learner);
  learner.fit({.epochs = 2}, std::ref(order));
  Outcome outcome{.weights = state_of(*net),
                  .order = at::cat(order.seen),
                  .random = at::globalContext().defaultGenerator(at::kCPU).get_state(),
                  .losses = {}};
  for (const auto& epoch : learner.history().epochs) outcome.losses.push_back(epoch.valid->loss);
  return outcome;
}

void check_no_trace(const std::function<DataSource()>& data, const std::function<void(Learner&)>& look) {
  const Outcome without = train(data, When::never, look);
  for (const When when : {When::first, When::between}) {
    CAPTURE(static_cast<int>(when));
    const Outcome with = train(data, when, look);
    CHECK(at::equal(with.order, without.order));
    for (const auto& [name, value] : without.weights) {
      CAPTURE(name);
      CHECK(at::equal(with.weights.at(name), value));
    }
    CHECK(with.losses == without.losses);
    CHECK(at::equal(with.random, without.random));
  }
}

}  // namespace

TEST_CASE("trap 11: find_lr leaves the place in the data and the random generator, with loaders that draw from it") {
  for (const std::size_t workers : {0, 2}) {
    CAPTURE(workers);
    check_no_trace([&] { return loader(workers); },
                   [](Learner& learner) { CHECK(learner.find_lr({.steps = 20}).lr.size() == 20); });
  }
}

TEST_CASE("find_lr leaves no trace in a shuffled InMemory source") {
  check_no_trace(shuffled_memory, [](Learner& learner) { CHECK(learner.find_lr({.steps = 20}).lr.size() == 20); });
}

TEST_CASE("find_lr on validation leaves no trace, in the validation data neither") {
  for (const bool memory : {false, true})
    check_no_trace(
        [&] { return memory ? shuffled_memory() : loader(0); },
        [](Learner& learner) { CHECK(learner.find_lr({.steps = 10, .on_validation = true}).lr.size() == 10); });
}

TEST_CASE("a paired sweep that looks at held-out samples leaves no trace, and has the curve of one that does not") {
  for (const bool memory : {false, true})
    check_no_trace([&] { return memory ? shuffled_memory() : loader(0); },
                   [](Learner& learner) {
                     const auto plain = learner.find_lr({.steps = 10, .held_out_samples = 0});
                     const auto more = learner.find_lr({.steps = 10, .paired = true, .held_out_samples = 8});
                     CHECK(more.loss == plain.loss);
                     CHECK(more.change.size() == 10);
                     CHECK(more.held_out.size() == 6);
                   });
}

TEST_CASE("what a paired sweep compares has the same random numbers: dropout, mixed samples, several batches a step") {
  at::manual_seed(11);
  torch::nn::Sequential net(torch::nn::Linear(4, 6), torch::nn::Tanh(), torch::nn::Dropout(0.5),
                            torch::nn::Linear(6, 3));
  Learner learner(net, thaw::LayerGroups::cut_at(net, {3}), thaw::cross_entropy,
                  {.train = shuffled_memory(), .valid = shuffled_memory()});
  const thaw::LRFinder still{.start_lr = 1e-12, .end_lr = 2e-12, .steps = 12, .paired = true};
  const auto check = [](const thaw::LRCurve& curve) {
    REQUIRE(curve.change.size() == 12);
    for (const double change : curve.change) CHECK(std::abs(change) < 1e-6);
  };
  check(learner.find_lr(still));
  check(learner.find_lr(still, thaw::GradientAccumulation{3}));
  check(learner.find_lr(still, thaw::MixUp{}));
  const auto moved = learner.find_lr({.start_lr = 1e-2, .end_lr = 2e-2, .steps = 12, .paired = true});
  for (const double change : moved.change) CHECK(change < -1e-4);  // a step lowers the loss of its own batch
}

TEST_CASE("held-out samples are looked at in evaluation mode, before and after steps, and are always the same") {
  at::manual_seed(11);
  torch::nn::Sequential net(torch::nn::Linear(4, 6), torch::nn::BatchNorm1d(6), torch::nn::Dropout(0.5),
                            torch::nn::Linear(6, 3));
  Learner learner(net, thaw::LayerGroups::cut_at(net, {3}), thaw::cross_entropy,
                  {.train = shuffled_memory(),
                   .valid = thaw::InMemory({.input = inputs, .target = labels, .batch_size = 5})});
  learner.unfreeze(thaw::hold_everywhere);
  const double loss = learner.validate().loss;
  const auto curve = learner.find_lr({.start_lr = 1e-12, .end_lr = 2e-12, .steps = 6, .held_out_samples = 24});
  REQUIRE(curve.held_out.size() == 4);
  for (const double each : curve.held_out) CHECK(std::abs(each - loss) < 1e-5);
}

TEST_CASE("without validation data, or where none are asked for, no held-out samples are looked at") {
  torch::nn::Sequential net(torch::nn::Linear(4, 3));
  const auto groups = thaw::LayerGroups::cut_at(net, {});
  Learner alone(net, groups, thaw::cross_entropy, {.train = shuffled_memory()});
  CHECK(alone.find_lr({.steps = 5}).held_out.empty());
  Learner both(net, groups, thaw::cross_entropy, {.train = shuffled_memory(), .valid = shuffled_memory()});
  CHECK(both.find_lr({.steps = 5, .held_out_samples = 0}).held_out.empty());
  CHECK(both.find_lr({.steps = 5}).held_out.size() == 3);
}

TEST_CASE("describe leaves no trace, with loaders that shuffle") {
  check_no_trace([] { return loader(0); },
                 [](Learner& learner) { CHECK(learner.describe({{.freeze = thaw::FreezeTo{-1}}}).size() == 1); });
}

TEST_CASE("find_lr that throws leaves no trace either") {
  struct Thrower {
    int left = 7;
    void on_gradients_ready(const thaw::GradientsReady&) {
      if (--left == 0) throw std::runtime_error("the power went out");
    }
  };
  check_no_trace([] { return loader(2); },
                 [](Learner& learner) { CHECK_THROWS_AS(learner.find_lr({}, Thrower{}), std::runtime_error); });
}

TEST_CASE("find_lr at ctrl-C puts all back, then says so") {
  struct CtrlC {
    int left = 7;
    void on_gradients_ready(const thaw::GradientsReady&) {
      if (--left > 0) return;
      REQUIRE(thaw::test::Sigint::current() != SIG_DFL);  // or this program would end here
      std::raise(SIGINT);
    }
  };
  check_no_trace([] { return loader(0); },
                 [](Learner& learner) {
                   const thaw::test::Sigint as_in_a_fresh_program;
                   CHECK_THROWS_AS(learner.find_lr({}, CtrlC{}), thaw::Interrupted);
                 });
}

TEST_CASE("a callback that stops ends the sweep, not the stage after it") {
  struct BadBatch {
    int left = 7;
    void on_loss_ready(const thaw::LossReady& event) {
      if (--left == 0) event.loss = event.loss * std::nan("");
    }
  };
  for (const bool on_validation : {false, true}) {
    CAPTURE(on_validation);
    thaw::test::Bench bench;
    const auto before = state_of(*bench.net);
    const auto curve = bench.learner->find_lr({.stop_early = false, .on_validation = on_validation}, BadBatch{},
                                              thaw::TerminateOnNaN{});
    CHECK(curve.stopped_early);
    CHECK(curve.lr.size() == 7);
    CHECK(thaw::test::same_state(before, *bench.net));
    const auto record = bench.learner->fit({.epochs = 2, .lr = 1e-3});
    CHECK(record.stop.empty());
    CHECK(bench.learner->history().steps.size() == 10);
  }
}

TEST_CASE("find_lr on validation without validation data is refused, and changes nothing") {
  thaw::test::Bench bench({.valid = false});
  const auto before = state_of(*bench.net);
  CHECK_THROWS_MATCHES(
      bench.learner->find_lr({.on_validation = true}), thaw::ConfigError,
      MessageMatches(ContainsSubstring("on_validation is asked for, but there is no validation data") &&
                     ContainsSubstring("or watch the training loss")));
  CHECK(thaw::test::same_state(before, *bench.net));
  CHECK(bench.learner->find_lr({.steps = 3}).lr.size() == 3);
}
