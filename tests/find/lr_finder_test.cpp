// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/find/lr_finder.hpp>

#include <torch/optim/adam.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>
#include <csignal>
#include <limits>
#include <map>
#include <sstream>
#include <thaw/find/suggest.hpp>
#include <thaw/groups/freeze.hpp>
#include <thaw/optim/adamw.hpp>

#include "support/data.hpp"
#include "support/nets.hpp"
#include "support/sigint.hpp"

using Catch::Matchers::WithinRel;
using thaw::LRFinder;
using thaw::test::TinyNet;

namespace {

struct Bench {
  TinyNet net;
  thaw::LayerGroups groups = thaw::LayerGroups::cut_before(net, {"body", "head"});
  thaw::AdamW optimizer{groups};

  double step() {
    const at::Tensor loss = at::cross_entropy_loss(net->forward(at::randn({8, 4})), at::randint(3, {8}, at::kLong));
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
    return loss.item<double>();
  }
};

}  // namespace

TEST_CASE("the sweep has fastai's rates, and its smoothing and early stop") {
  const auto golden = thaw::test::json_fixture("find/lr_find.json");
  Bench bench;
  for (const auto& [name, run] : golden["curves"].items()) {
    CAPTURE(name);
    std::size_t i = 0;
    const auto& raw = run["raw"];
    const auto curve = LRFinder{}.run(bench.groups, bench.optimizer, [&] { return raw[i++].get<double>(); });
    REQUIRE(curve.lr.size() == run["visited"].get<std::size_t>());
    CHECK(curve.stopped_early == run["stopped_early"].get<bool>());
    CHECK(curve.planned == 100);
    for (std::size_t k = 0; k < curve.lr.size(); ++k) {
      CHECK_THAT(curve.lr[k], WithinRel(golden["lrs"][k].get<double>(), 1e-12));
      CHECK_THAT(curve.smoothed[k], WithinRel(run["smoothed"][k].get<double>(), 1e-5));  // fastai: float32
      CHECK(curve.loss[k] == run["raw"][k].get<double>());
    }
  }
}

TEST_CASE("the finder keeps the ratios of discriminative rates, and writes them to the optimizer") {
  Bench bench;
  std::vector<std::vector<double>> seen;
  const LRFinder finder{.steps = 10, .rates = thaw::DiscriminativeLR::slice(1e-6, 1e-4)};
  const auto curve = finder.run(bench.groups, bench.optimizer, [&] {
    seen.push_back(thaw::OptimizerGroups(bench.optimizer, bench.groups).lr());
    return 1.0;
  });
  REQUIRE(seen.size() == 10);
  for (std::size_t i = 0; i < 10; ++i) {
    CHECK(seen[i][2] == curve.lr[i]);
    CHECK_THAT(seen[i][1], WithinRel(curve.lr[i] / 10, 1e-12));
    CHECK_THAT(seen[i][0], WithinRel(curve.lr[i] / 100, 1e-12));
  }
}

TEST_CASE("the finder restores everything, bit for bit, with absent optimizer state and after an exception") {
  for (const bool trained_before : {false, true})
    for (const bool throws : {false, true}) {
      CAPTURE(trained_before, throws);
      at::manual_seed(3);
      Bench bench;
      thaw::apply(thaw::FreezeTo{1}, bench.groups, {.frozen = thaw::Norm::track});
      if (trained_before) bench.step();
      bench.net->forward(at::randn({8, 4})).sum().backward();  // gradients that wait for a step
      bench.net->body->eval();

      const auto before = thaw::test::state_of(*bench.net);
      const at::Tensor gradient = bench.net->head->weight.grad(), gradient_value = gradient.clone();
      const std::size_t states = bench.optimizer.state().size();
      const auto* const state =
          trained_before ? static_cast<torch::optim::AdamWParamState*>(
                               bench.optimizer.state().at(bench.net->head->weight.unsafeGetTensorImpl()).get())
                         : nullptr;
      const at::Tensor average = trained_before ? state->exp_avg().clone() : at::Tensor();
      const auto lr = thaw::OptimizerGroups(bench.optimizer, bench.groups).lr();
      const at::Tensor random = at::globalContext().defaultGenerator(at::kCPU).get_state();

      int left = 30;
      const auto sweep = [&] {
        return LRFinder{.stop_early = false}.run(bench.groups, bench.optimizer, [&] {
          if (throws && --left == 0) throw std::runtime_error("the loss broke");
          bench.groups.train();
          bench.net->head->weight.set_requires_grad(true);
          return bench.step();
        });
      };
      if (throws)
        CHECK_THROWS_AS(sweep(), std::runtime_error);
      else
        CHECK(sweep().lr.size() == 100);

      CHECK(thaw::test::same_state(before, *bench.net));
      CHECK(bench.net->head->weight.grad().is_same(gradient));
      CHECK(at::equal(gradient, gradient_value));
      CHECK_FALSE(bench.net->stem->parameters()[0].grad().defined());
      CHECK_FALSE(bench.net->stem->parameters()[0].requires_grad());
      CHECK_FALSE(bench.net->body->is_training());
      CHECK(bench.net->stem->is_training());
      CHECK(bench.optimizer.state().size() == states);
      if (trained_before) {
        CHECK(state->step() == 1);
        CHECK(at::equal(state->exp_avg(), average));
      }
      CHECK(thaw::OptimizerGroups(bench.optimizer, bench.groups).lr() == lr);
      CHECK(at::equal(at::globalContext().defaultGenerator(at::kCPU).get_state(), random));
    }
}

TEST_CASE("the copy of an optimizer's state that the sweep works on is a true copy") {
  Bench bench;
  bench.step();
  bench.step();
  for (const auto& [key, state] : bench.optimizer.state()) {
    const auto copy = thaw::detail::deep_copy(*state);
    const auto& from = static_cast<const torch::optim::AdamWParamState&>(*state);
    const auto& to = static_cast<const torch::optim::AdamWParamState&>(*copy);
    CHECK(to.step() == from.step());
    CHECK(at::equal(to.exp_avg(), from.exp_avg()));
    CHECK(at::equal(to.exp_avg_sq(), from.exp_avg_sq()));
    CHECK(to.exp_avg().data_ptr() != from.exp_avg().data_ptr());
    CHECK_FALSE(to.max_exp_avg_sq().defined());
  }
}

TEST_CASE("the finder stops at a loss that is not finite, even when told not to stop early") {
  Bench bench;
  int i = 0;
  const auto curve = LRFinder{.stop_early = false}.run(
      bench.groups, bench.optimizer, [&] { return ++i == 20 ? std::numeric_limits<double>::infinity() : 1.0; });
  CHECK(curve.lr.size() == 20);
  CHECK(curve.stopped_early);
}

TEST_CASE("the finder refuses sweeps that make no sense") {
  CHECK_THROWS_AS(LRFinder{.start_lr = 0}.check(), thaw::ConfigError);
  CHECK_THROWS_AS((LRFinder{.start_lr = 1, .end_lr = 0.1}.check()), thaw::ConfigError);
  CHECK_THROWS_AS(LRFinder{.steps = 1}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(LRFinder{.beta = 1}.check(), thaw::ConfigError);
  Bench bench;
  const LRFinder no_head{.rates = thaw::DiscriminativeLR::each({1, 1, 0})};
  CHECK_THROWS_AS(no_head.run(bench.groups, bench.optimizer, [] { return 1.0; }), thaw::ConfigError);
}

TEST_CASE("a linear sweep goes in equal steps, an exponential one in equal ratios") {
  Bench bench;
  const auto run = [&](const LRFinder& finder) {
    return finder.run(bench.groups, bench.optimizer, [] { return 1.0; }).lr;
  };
  const auto linear = run({.start_lr = 0.1, .end_lr = 0.5, .steps = 8, .sweep = thaw::Sweep::linear});
  REQUIRE(linear.size() == 8);
  for (std::size_t i = 0; i < 8; ++i) CHECK_THAT(linear[i], WithinRel(0.1 + 0.05 * static_cast<double>(i), 1e-12));
  const auto exponential = run({.start_lr = 1e-4, .end_lr = 1, .steps = 8});
  REQUIRE(exponential.size() == 8);
  for (std::size_t i = 0; i < 8; ++i)
    CHECK_THAT(exponential[i], WithinRel(std::pow(10, -4 + 0.5 * static_cast<double>(i)), 1e-12));
}

TEST_CASE("on_validation watches the validation loss after each step, and wants one") {
  Bench bench;
  std::string calls;
  double validation = 3;
  const LRFinder finder{.steps = 3, .stop_early = false, .on_validation = true};
  const auto step = [&] { return calls += 's', 100.0; };
  const auto curve = finder.run(bench.groups, bench.optimizer, step,
                                {.held_out = [&] { return calls += 'v', validation++; }});
  CHECK(calls == "svsvsv");
  CHECK(curve.loss == std::vector{3., 4., 5.});

  calls.clear();
  CHECK_THROWS_AS(finder.run(bench.groups, bench.optimizer, step), thaw::ConfigError);
  CHECK(calls.empty());
  CHECK(LRFinder{.steps = 2}.run(bench.groups, bench.optimizer, step, {.held_out = [] { return 1.0; }}).loss[0] == 100);
}

TEST_CASE("a training loss that is not finite ends a sweep on validation, too") {
  Bench bench;
  int validations = 0;
  const auto curve = LRFinder{.on_validation = true}.run(
      bench.groups, bench.optimizer, [] { return std::nan(""); }, {.held_out = [&] { return ++validations, 1.0; }});
  CHECK(curve.loss.size() == 1);
  CHECK(curve.stopped_early);
  CHECK(validations == 0);
}

TEST_CASE("with several processes, what counts is the mean loss: it is recorded, and decides on the early stop") {
  Bench bench;
  const auto losses = [&](const std::function<double(double)>& mean, double loss_here) {
    int i = 0;
    return LRFinder{.beta = 0, .mean_over_processes = mean}
        .run(bench.groups, bench.optimizer, [&] { return ++i == 10 ? loss_here : 1.0; })
        .loss;
  };
  CHECK(losses({}, 9).size() == 10);                                        // alone: 9 > 4 * 1 stops
  const auto calm = losses([](double loss) { return (loss + 1) / 2; }, 6);  // (6 + 1) / 2 < 4: the others are fine
  REQUIRE(calm.size() == 100);
  CHECK(calm[9] == 3.5);
  CHECK(losses([](double loss) { return (loss + 99) / 2; }, 302).size() == 10);
  CHECK(losses([](double loss) { return (loss + 99) / 2; }, 300).size() == 100);  // 199.5 < 4 * 50
  int i = 0;  // another process's loss is not finite: all stop together
  const LRFinder finder{.mean_over_processes = [&](double loss) { return ++i == 5 ? std::nan("") : loss; }};
  CHECK(finder.run(bench.groups, bench.optimizer, [] { return 1.0; }).lr.size() == 5);
}

namespace {

/// Every optimizer's state as bytes, by parameter.
std::map<void*, std::string> bytes_of(const torch::optim::Optimizer& optimizer) {
  std::map<void*, std::string> result;
  for (const auto& [key, state] : optimizer.state()) {
    std::stringstream bytes;
    torch::serialize::OutputArchive archive;
    state->serialize(archive);
    archive.save_to(bytes);
    result[key] = bytes.str();
  }
  return result;
}

std::vector<double> gradients_of(const TinyNet& net) {
  std::vector<double> sums;
  for (const auto& parameter : net->parameters())
    sums.push_back(parameter.grad().defined() ? parameter.grad().sum().item<double>() : -1);
  return sums;
}

}  // namespace

TEST_CASE("any optimizer's state is restored, bit for bit, and so is ctrl-C's: weights, flags, numbers, options") {
  const auto make = [](int kind, const thaw::LayerGroups& groups) -> std::unique_ptr<torch::optim::Optimizer> {
    const auto params = thaw::param_groups(groups);
    if (kind == 0) return std::make_unique<torch::optim::SGD>(params, torch::optim::SGDOptions(0.1).momentum(0.9));
    if (kind == 1)
      return std::make_unique<torch::optim::RMSprop>(params,
                                                     torch::optim::RMSpropOptions(0.01).momentum(0.9).centered(true));
    if (kind == 2) return std::make_unique<torch::optim::RMSprop>(params, torch::optim::RMSpropOptions(0.01));
    if (kind == 3) return std::make_unique<torch::optim::Adam>(params, torch::optim::AdamOptions(0.01));
    if (kind == 4) return std::make_unique<torch::optim::Adam>(params, torch::optim::AdamOptions(0.01).amsgrad(true));
    return std::make_unique<torch::optim::SGD>(params, torch::optim::SGDOptions(0.1));
  };
  for (int kind = 0; kind < 6; ++kind)
    for (const bool trained_before : {false, true})
      for (const bool interrupted : {false, true}) {
        CAPTURE(kind, trained_before, interrupted);
        const thaw::test::Sigint as_in_a_fresh_program;
        at::manual_seed(3);
        TinyNet net;
        auto groups = thaw::LayerGroups::cut_before(net, {"body", "head"});
        const auto optimizer = make(kind, groups);
        const auto step = [&] {
          const at::Tensor loss =
              at::cross_entropy_loss(net->forward(at::randn({8, 4})), at::randint(3, {8}, at::kLong));
          loss.backward();
          optimizer->step();
          optimizer->zero_grad();
          return loss.item<double>();
        };
        if (trained_before)
          for (int i = 0; i < 3; ++i) step();
        net->forward(at::randn({8, 4})).square().sum().backward();

        const auto before = thaw::test::state_of(*net);
        const auto state = bytes_of(*optimizer);
        const auto gradients = gradients_of(net);
        const auto lr = thaw::OptimizerGroups(*optimizer, groups).lr();
        const at::Tensor random = at::globalContext().defaultGenerator(at::kCPU).get_state();
        int steps = 0;
        const auto sweep = [&] {
          return LRFinder{.end_lr = 1e-1, .stop_early = false}.run(groups, *optimizer, [&] {
            if (++steps == 20 && interrupted) {
              REQUIRE(thaw::test::Sigint::current() != SIG_DFL);  // or this program would end here
              std::raise(SIGINT);
            }
            return step();
          });
        };
        if (interrupted) {
          CHECK_THROWS_AS(sweep(), thaw::Interrupted);
          CHECK(steps == 20);
        } else {
          CHECK(sweep().lr.size() == 100);
        }
        CHECK(thaw::test::same_state(before, *net));
        CHECK(bytes_of(*optimizer) == state);
        CHECK(gradients_of(net) == gradients);
        CHECK(thaw::OptimizerGroups(*optimizer, groups).lr() == lr);
        CHECK(at::equal(at::globalContext().defaultGenerator(at::kCPU).get_state(), random));
        CHECK(thaw::test::Sigint::current() == SIG_DFL);
      }
}

TEST_CASE("trap 11: the finder takes all its steps up to the last below end_lr, where fastai's stops short") {
  Bench bench;
  for (const std::int64_t steps : {2, 15, 100, 137}) {
    const LRFinder finder{.start_lr = 1e-5, .end_lr = 1, .steps = steps};
    std::int64_t taken = 0;
    const auto curve = finder.run(bench.groups, bench.optimizer, [&] { return ++taken, 1.0; });
    CHECK(taken == steps);
    CHECK_FALSE(curve.stopped_early);
    const double ratio = std::pow(1e5, 1 / static_cast<double>(steps));
    CHECK(curve.lr.front() == 1e-5);
    CHECK_THAT(curve.lr.back() * ratio, WithinRel(1.0, 1e-9));
  }
}

TEST_CASE(
    "trap 11: the finder stops on NaN, and a curve of under 16 steps has no suggestion rather than an exception") {
  Bench bench;
  for (int last = 1; last < 16; ++last) {
    CAPTURE(last);
    int i = 0;
    const auto curve = LRFinder{}.run(bench.groups, bench.optimizer,
                                      [&] { return ++i == last ? std::nan("") : 1.0 / static_cast<double>(i); });
    CHECK(curve.lr.size() == static_cast<std::size_t>(last));
    CHECK(curve.stopped_early);
    for (const auto suggest : {"valley", "slide", "steep", "minimum"}) {
      CAPTURE(suggest);
      std::optional<double> found;
      CHECK_NOTHROW(found = thaw::suggestion(curve, suggest));
      if (found) CHECK((*found >= curve.lr.front() / 10 && *found <= curve.lr.back()));
    }
    CHECK_FALSE(thaw::suggestion(curve, "slide"));
  }
}

TEST_CASE("losses below zero do not end a sweep at its first step; a stop factor must be above 1") {
  Bench bench;
  double loss = -1;
  const auto falls = LRFinder{.steps = 20}.run(bench.groups, bench.optimizer, [&] { return loss -= 0.1; });
  CHECK(falls.lr.size() == 20);
  int i = 0;
  const auto jumps =
      LRFinder{.steps = 20, .beta = 0}.run(bench.groups, bench.optimizer, [&] { return ++i < 5 ? -1. : 3.; });
  CHECK(jumps.lr.size() == 5);  // 3 > -1 + (4 - 1) |-1|
  for (const double factor : {1., 0.5, -2., std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_AS(LRFinder{.stop_factor = factor}.check(), thaw::ConfigError);
  LRFinder{.stop_factor = std::numeric_limits<double>::infinity()}.check();
}

TEST_CASE("ctrl-C in the last step is not lost") {
  const thaw::test::Sigint fresh;
  Bench bench;
  int i = 0;
  const auto interrupted = [&] {
    if (++i == 5) std::raise(SIGINT);
    return 1.;
  };
  CHECK_THROWS_AS(LRFinder{.steps = 5}.run(bench.groups, bench.optimizer, interrupted), thaw::Interrupted);
}

TEST_CASE("errors show rates as people write them") {
  try {
    LRFinder{.start_lr = 1e-7, .end_lr = 1e-8}.check();
    FAIL("not refused");
  } catch (const thaw::ConfigError& error) {
    CHECK(error.problem() == "the sweep goes from 1e-07 to 1e-08");
  }
}

TEST_CASE("a paired sweep records by how much each step changed the loss of its own batch") {
  Bench bench;
  double loss = 5;
  const LRFinder finder{.steps = 4, .stop_early = false};
  const auto curve = finder.run(
      bench.groups, bench.optimizer, [&] { return ++loss; }, {.same_batch = [&] { return loss - 0.25; }});
  CHECK(curve.loss == std::vector{6., 7., 8., 9.});
  CHECK(curve.change == std::vector{-0.25, -0.25, -0.25, -0.25});
  CHECK(curve.held_out.empty());
}

TEST_CASE("held-out samples are measured before the first step, then after every second one, at its rate") {
  Bench bench;
  std::string calls;
  const LRFinder finder{.steps = 5, .stop_early = false};
  const auto curve = finder.run(
      bench.groups, bench.optimizer, [&] { return calls += 's', 1.0; },
      {.held_out = [&] { return calls += 'h', static_cast<double>(calls.size()); }});
  CHECK(calls == "hsshssh" "s");
  CHECK(curve.held_out == std::vector{1., 4., 7.});
  CHECK(curve.held_out_lr == std::vector{0., curve.lr[1], curve.lr[3]});
  CHECK(curve.change.empty());
}

TEST_CASE("a training loss of nearly 0 that rises does not end a sweep while the held-out loss stays") {
  Bench bench;
  std::vector<double> losses(20, 1e-3);
  losses[5] = 1;  // a batch that was not learnt by heart: the smoothed loss is fifty times its best
  std::size_t step = 0;
  double held_out = 0.3;
  const auto next = [&] { return losses.at(step++); };
  const auto curve =
      LRFinder{.steps = 20}.run(bench.groups, bench.optimizer, next, {.held_out = [&] { return held_out; }});
  CHECK(curve.lr.size() == 20);
  CHECK_FALSE(curve.stopped_early);

  step = 0;
  const auto alone = LRFinder{.steps = 20}.run(bench.groups, bench.optimizer, next);
  CHECK(alone.lr.size() == 6);

  for (const double ruined : {3.0, std::nan("")}) {
    step = 0, held_out = 0.3;
    const auto both = LRFinder{.steps = 20}.run(bench.groups, bench.optimizer, next,
                                                {.held_out = [&] { return step < 8 ? held_out : ruined; }});
    CHECK(both.lr.size() == 8);
    CHECK(both.stopped_early);
  }
}

TEST_CASE("with several processes what probes measure is the mean over them, too") {
  Bench bench;
  const LRFinder finder{.steps = 2, .stop_early = false, .held_out_every = 1, .mean_over_processes = [](double here) {
                          return here + 10;
                        }};
  const auto curve = finder.run(
      bench.groups, bench.optimizer, [] { return 1.0; },
      {.same_batch = [] { return 0.5; }, .held_out = [] { return 2.0; }});
  CHECK(curve.loss == std::vector{11., 11.});
  CHECK(curve.change == std::vector{-0.5, -0.5});
  CHECK(curve.held_out == std::vector{12., 12., 12.});
}

TEST_CASE("after a loss that is not finite nothing else is measured") {
  Bench bench;
  int calls = 0;
  const auto count = [&] { return ++calls, 1.0; };
  const auto curve = LRFinder{.held_out_every = 1}.run(
      bench.groups, bench.optimizer, [] { return std::nan(""); }, {.same_batch = count, .held_out = count});
  CHECK(calls == 1);  // before the first step
  REQUIRE(curve.change.size() == 1);
  CHECK(std::isnan(curve.change[0]));
}

TEST_CASE("a sweep of one group alone: the last group with a rate has the curve's, the others have 0") {
  Bench bench;
  std::vector<std::vector<double>> seen;
  const LRFinder finder{.steps = 3, .rates = thaw::DiscriminativeLR::each({0, 7, 0})};
  const auto curve = finder.run(bench.groups, bench.optimizer, [&] {
    seen.push_back(thaw::OptimizerGroups(bench.optimizer, bench.groups).lr());
    return 1.0;
  });
  REQUIRE(seen.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(seen[i] == std::vector{0., curve.lr[i], 0.});
}
