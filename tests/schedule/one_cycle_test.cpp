// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/schedule/one_cycle.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>

#include "schedule/check_schedule.hpp"
#include "support/data.hpp"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using thaw::test::json_fixture;

TEST_CASE("OneCycle equals fastai's combined cosines") {
  const auto golden = json_fixture("schedule/one_cycle.json")["fastai"];
  for (const auto& [name, run] : golden.items()) {
    CAPTURE(name);
    const thaw::OneCycle cycle{.pct_start = run["pct_start"], .div = run["div"], .div_final = run["div_final"]};
    const double peak = run["lr_max"];
    for (const thaw::Progress at : thaw::steps(run["n"])) {
      const thaw::ScheduleValue value = cycle(at.t());
      // fastai keeps its phase limits in float32
      CHECK_THAT(peak * value.lr, WithinRel(run["lr"][static_cast<std::size_t>(at.step)].get<double>(), 1e-5));
      CHECK_THAT(value.momentum.value(), WithinRel(run["mom"][static_cast<std::size_t>(at.step)].get<double>(), 1e-5));
    }
  }
}

TEST_CASE("OneCycle gives the rates of fastai's fit_one_cycle, step by step") {
  const auto runs = json_fixture("schedule/fit_one_cycle.json")["runs"];
  for (const auto& [name, run] : runs.items()) {
    CAPTURE(name);
    const auto& kwargs = run["kwargs"];
    const thaw::OneCycle cycle{.pct_start = kwargs.value("pct_start", 0.25), .div = kwargs.value("div", 25.0)};
    const double peak = name == "finetune_stage2_97"   ? 1e-3
                        : name == "slice_stop_97"      ? 1e-4
                        : name == "finetune_stage1_97" ? 2e-3
                                                       : 1e-2;
    const auto total = static_cast<std::int64_t>(run["lr"].size());
    for (const thaw::Progress at : thaw::steps(total)) {
      const auto i = static_cast<std::size_t>(at.step);
      CHECK_THAT(peak * cycle(at.t()).lr, WithinRel(run["lr"][i].back().get<double>(), 1e-5));
      CHECK_THAT(cycle(at.t()).momentum.value(), WithinRel(run["mom"][i].get<double>(), 1e-5));
    }
  }
}

TEST_CASE("TorchOneCycle equals torch.optim.lr_scheduler.OneCycleLR") {
  const auto golden = json_fixture("schedule/one_cycle.json")["torch"];
  for (const auto& [name, run] : golden.items()) {
    if (name == "note") continue;
    CAPTURE(name);
    const auto& kwargs = run["kwargs"];
    const bool linear = kwargs.value("anneal_strategy", "cos") == "linear";
    const thaw::TorchOneCycle cycle{.pct_start = kwargs.value("pct_start", 0.3),
                                    .div_factor = kwargs.value("div_factor", 25.0),
                                    .final_div_factor = kwargs.value("final_div_factor", 1e4),
                                    .three_phase = kwargs.value("three_phase", false),
                                    .cycle_momentum = kwargs.value("cycle_momentum", true),
                                    .anneal = linear ? thaw::Anneal::linear : thaw::Anneal::cosine};
    const double peak = kwargs["max_lr"];
    for (const thaw::Progress at : thaw::steps(run["total_steps"])) {
      const auto i = static_cast<std::size_t>(at.step);
      // PyTorch computes in absolute rates: near its floor the last digits are cancellation, 1e-16 of the peak
      CHECK_THAT(peak * cycle(at).lr, WithinRel(run["lr"][i][0].get<double>(), 1e-12) ||
                                          WithinAbs(run["lr"][i][0].get<double>(), 1e-15 * peak));
      REQUIRE(cycle(at).momentum.has_value() == cycle.cycle_momentum);
      if (cycle.cycle_momentum) CHECK_THAT(*cycle(at).momentum, WithinRel(run["mom"][i][0].get<double>(), 1e-12));
    }
  }
}

TEST_CASE("OneCycleV1 equals fastai v1's OneCycleScheduler") {
  thaw::test::check_reference("OneCycleV1", [](const auto& kwargs) {
    thaw::OneCycleV1 cycle{.pct_start = kwargs["pct_start"], .div_factor = kwargs["div_factor"]};
    if (kwargs.contains("final_div")) cycle.final_div = kwargs["final_div"];
    return cycle;
  });
}

TEST_CASE("OneCycleV1 ends at 1/1e4 of its first rate, unless told") {
  CHECK(thaw::OneCycleV1{}.final_div == 25e4);
  CHECK(thaw::OneCycleV1{.div_factor = 10}.final_div == 1e5);
  CHECK(thaw::OneCycleV1{.div_factor = 10, .final_div = 7}.final_div == 7);
}

TEST_CASE("one-cycles are sound for any number of steps") {
  for (const thaw::Anneal shape : {thaw::Anneal::cosine, thaw::Anneal::linear})
    for (const double pct : {0.0, 0.1, 0.25, 0.5, 0.99, 1.0}) {
      thaw::test::check_schedule(thaw::OneCycle{.pct_start = pct, .anneal = shape});
      for (const bool three : {false, true})
        if (!three || pct <= 0.5)
          thaw::test::check_schedule(thaw::TorchOneCycle{.pct_start = pct, .three_phase = three, .anneal = shape});
      thaw::test::check_schedule(thaw::OneCycleV1{.pct_start = pct});
    }
}

TEST_CASE("one-cycles jump nowhere") {
  thaw::test::check_continuous(thaw::OneCycle{}, 6.3);
  thaw::test::check_continuous(thaw::OneCycle{.anneal = thaw::Anneal::linear}, 4);
  thaw::test::check_continuous(thaw::TorchOneCycle{}, 6);
  thaw::test::check_continuous(thaw::OneCycleV1{}, 5.3);
}

TEST_CASE("trap 11: TorchOneCycle survives pct_start * steps == 1, where PyTorch divides by zero") {
  const thaw::TorchOneCycle cycle{.pct_start = 0.1};
  CHECK(cycle({.step = 0, .steps = 10}).lr == 1.0);
}

TEST_CASE("trap 11: phase limits are exact, where fastai's are float32, up to 3e-6 off") {
  for (const double pct : {0.1, 0.3, 0.7}) {
    const thaw::OneCycle cycle{.pct_start = pct, .div = 25, .anneal = thaw::Anneal::linear};
    CAPTURE(pct);
    CHECK(cycle(pct).lr == 1.0);
    for (const double p : {0.25, 0.5, 0.999}) CHECK_THAT(cycle(p * pct).lr, WithinRel(1 / 25.0 + p * 24 / 25, 1e-14));
  }
}

TEST_CASE("one-cycles refuse parameters that make no sense") {
  CHECK_THROWS_AS(thaw::OneCycle{.pct_start = 1.5}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::OneCycle{.pct_start = std::nan("")}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::OneCycle{.div = 0}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::TorchOneCycle{.final_div_factor = -1}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::OneCycleV1{.div_factor = 0}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::OneCycleV1{.pct_start = 2}.check(), thaw::ConfigError);
  CHECK_NOTHROW(thaw::OneCycle{}.check());
}

TEST_CASE("errors show divisors as people write them") {
  try {
    thaw::OneCycle{.div = -1e-7}.check();
    FAIL("not refused");
  } catch (const thaw::ConfigError& error) {
    CHECK(error.problem() == "divisors are -1e-07 and 100000");
  }
}

TEST_CASE("a one-cycle that only rises ends where it would end") {
  CHECK_THAT(thaw::OneCycle{.pct_start = 1}(0.75).lr, WithinRel(thaw::OneCycle{.pct_start = 0.5}(0.375).lr, 1e-12));
  CHECK_THAT(thaw::OneCycle{.pct_start = 1}(1).lr, WithinAbs(1e-5, 1e-15));
}

TEST_CASE("TorchOneCycle has two phases unless told, as PyTorch's") {
  const thaw::Progress late{.step = 80, .steps = 100};
  CHECK(thaw::TorchOneCycle{}(late).lr == thaw::TorchOneCycle{.three_phase = false}(late).lr);
  CHECK(thaw::TorchOneCycle{}(late).lr != thaw::TorchOneCycle{.three_phase = true}(late).lr);
}

TEST_CASE("a one-cycle's ends may lie above its peak, yet no rate is infinite") {
  CHECK_NOTHROW(thaw::OneCycle{.div = 0.5, .div_final = 0.5}.check());
  CHECK_THROWS_AS(thaw::OneCycle{.div_final = 0}.check(), thaw::ConfigError);
}
