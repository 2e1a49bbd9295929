// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/schedule/step_decay.hpp>

#include <catch2/catch_test_macros.hpp>
#include <cmath>

#include "schedule/check_schedule.hpp"

TEST_CASE("StepDecay and MultiStep equal torch.optim.lr_scheduler's, stepped every epoch") {
  thaw::test::check_reference("StepDecay", [](const auto& kwargs) {
    return thaw::StepDecay{.every_epochs = kwargs["every_epochs"], .gamma = kwargs["gamma"]};
  });
  thaw::test::check_reference("MultiStep", [](const auto& kwargs) {
    return thaw::MultiStep{.epochs = kwargs["epochs"], .gamma = kwargs["gamma"]};
  });
}

TEST_CASE("every n epochs is a list of epochs") {
  const thaw::StepDecay each{.every_epochs = 2, .gamma = 0.3};
  const thaw::MultiStep listed{.epochs = {2, 4, 6}, .gamma = 0.3};
  for (const thaw::Progress at : thaw::steps(40, 5)) CHECK(each(at) == listed(at));
}

TEST_CASE("step decays are sound for any number of steps") {
  for (const std::int64_t every : {1, 2, 7}) thaw::test::check_schedule(thaw::StepDecay{.every_epochs = every});
  thaw::test::check_schedule(thaw::MultiStep{.epochs = {1, 10, 11}, .gamma = 0.5});
}

TEST_CASE("step decays refuse parameters that make no sense") {
  CHECK_THROWS_AS(thaw::StepDecay{.every_epochs = 0}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::StepDecay{.gamma = 1.5}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::StepDecay{.gamma = 0}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::MultiStep{}.check(), thaw::ConfigError);
  CHECK_THROWS_AS(thaw::MultiStep{.epochs = {0}}.check(), thaw::ConfigError);
  CHECK_THROWS_AS((thaw::MultiStep{.epochs = {3, 2}}.check()), thaw::ConfigError);
  CHECK_THROWS_AS((thaw::MultiStep{.epochs = {3, 3}}.check()), thaw::ConfigError);
  CHECK_THROWS_AS((thaw::MultiStep{.epochs = {3}, .gamma = std::nan("")}.check()), thaw::ConfigError);
}
