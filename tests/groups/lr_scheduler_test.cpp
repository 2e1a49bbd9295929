// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/groups/lr_scheduler.hpp>

#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <thaw/schedule/one_cycle.hpp>

#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using thaw::ScheduledLR;
using thaw::test::TinyNet;

namespace {

constexpr std::array peaks{1e-5, 1e-3, 1e-2};  // 1e-3 is Adam's class default

/// An optimizer with three groups, one of them at the class default; the rates are set on the live groups (trap 1).
template <class Optimizer, class Options>
Optimizer three_groups(TinyNet& net, const Options& options) {
  std::vector<torch::optim::OptimizerParamGroup> groups;
  for (const auto& child : net->children()) groups.emplace_back(child->parameters());
  Optimizer optimizer(groups, options);
  for (std::size_t i = 0; i < peaks.size(); ++i) optimizer.param_groups()[i].options().set_lr(peaks[i]);
  return optimizer;
}

void check_follows(torch::optim::Optimizer& optimizer, const thaw::AnySchedule& schedule) {
  ScheduledLR scheduler(optimizer, schedule, 97, 10);
  for (const thaw::Progress at : thaw::steps(97, 10)) {
    CAPTURE(at.step);
    const thaw::ScheduleValue value = schedule(at);
    for (std::size_t i = 0; i < peaks.size(); ++i) {
      const auto& options = optimizer.param_groups()[i].options();
      REQUIRE(options.get_lr() == peaks[i] * value.lr);
      if (value.momentum) REQUIRE(thaw::read_momentum(options) == value.momentum);
    }
    REQUIRE(scheduler.progress().step == at.step);
    if (at.step < 96) scheduler.step();
  }
  const double last = optimizer.param_groups()[1].options().get_lr();
  scheduler.step();
  scheduler.step();
  CHECK(optimizer.param_groups()[1].options().get_lr() == last);
}

}  // namespace

TEST_CASE("ScheduledLR gives every optimizer group the schedule's rates, and the momentum, then stays at the last") {
  const auto epochs = [](const thaw::Progress& at) {
    return thaw::ScheduleValue(1.0 / static_cast<double>(at.epoch() + 1));
  };
  for (const thaw::AnySchedule& schedule : {thaw::AnySchedule(thaw::OneCycle{}), thaw::AnySchedule(epochs)}) {
    TinyNet net;
    auto sgd = three_groups<torch::optim::SGD>(net, torch::optim::SGDOptions(1e-3).momentum(0.5));
    auto adam = three_groups<torch::optim::Adam>(net, torch::optim::AdamOptions(5e-4));
    check_follows(sgd, schedule);
    check_follows(adam, schedule);
    CHECK(std::get<1>(static_cast<torch::optim::AdamOptions&>(adam.param_groups()[0].options()).betas()) == 0.999);
  }
}

TEST_CASE("ScheduledLR leaves the momentum alone where the schedule has none") {
  TinyNet net;
  torch::optim::SGD sgd(net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.7));
  ScheduledLR scheduler(sgd, thaw::Constant{}, 3);
  scheduler.step();
  CHECK(thaw::read_momentum(sgd.param_groups()[0].options()) == 0.7);
}

TEST_CASE("ScheduledLR refuses no steps, and schedules that make no sense") {
  TinyNet net;
  torch::optim::SGD sgd(net->parameters(), torch::optim::SGDOptions(0.1));
  CHECK_THROWS_WITH(ScheduledLR(sgd, thaw::Constant{}, 0), ContainsSubstring("0 steps"));
  CHECK_THROWS_AS(ScheduledLR(sgd, thaw::Constant{}, 10, 0), thaw::ConfigError);
  CHECK_THROWS_AS(ScheduledLR(sgd, thaw::OneCycle{.pct_start = 2}, 10), thaw::ConfigError);
  CHECK(sgd.param_groups()[0].options().get_lr() == 0.1);
}
