#include <thaw/find/lr_finder.hpp>

#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/randint.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <limits>
#include <thaw/groups/freeze.hpp>
#include <thaw/optim/adamw.hpp>

#include "support/data.hpp"
#include "support/nets.hpp"

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
    const auto curve = LRFinder{}.run(bench.groups, bench.optimizer, [&] { return run["raw"][i++].get<double>(); });
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
