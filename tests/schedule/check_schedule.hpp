// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <cmath>
#include <cstdint>
#include <thaw/schedule/schedule.hpp>

#include "support/data.hpp"

namespace thaw::test {

/// What every schedule owes, for any number of steps and of epochs: finite, a multiplier in [0, 1], a momentum in
/// [0, 1), the same value each time, and within a part of a stage as well.
inline void check_schedule(const Schedule auto& schedule) {
  const AnySchedule any = schedule;
  any.check();
  const auto check = [&](const Progress& at, double t) {
    const ScheduleValue value = any(at, t), again = any(at, t);
    const double momentum = value.momentum.value_or(0.5);
    const bool sound =
        std::isfinite(value.lr) && value.lr >= 0 && value.lr <= 1 + 1e-12 && momentum >= 0 && momentum < 1;
    const bool same =
        again.lr == value.lr && again.momentum == value.momentum && (t != at.t() || any(at).lr == value.lr);
    if (sound && same) return;
    CAPTURE(at.step, at.steps, at.steps_per_epoch, t, value.lr, momentum);
    REQUIRE(sound);
    REQUIRE(same);
  };
  for (const std::int64_t total : {1, 2, 3, 4, 5, 7, 10, 97, 1000})
    for (const std::int64_t epoch : {1, 3, 50})
      for (const Progress at : steps(total, epoch)) {
        check(at, at.t());
        check(at, std::min(at.t() + 0.37 / static_cast<double>(total), std::nextafter(1.0, 0.0)));
      }
}

/// For a schedule that promises to jump nowhere: two neighbours of N steps are no further apart than slope / N.
inline void check_continuous(const Schedule auto& schedule, double slope) {
  const AnySchedule any = schedule;
  for (const std::int64_t total : {50, 500, 5000, 50000}) {
    ScheduleValue before = any(Progress{.step = 0, .steps = total});
    double lr = 0, momentum = 0;
    for (const Progress at : steps(total)) {
      const ScheduleValue now = any(at);
      lr = std::max(lr, std::abs(now.lr - before.lr));
      if (now.momentum) momentum = std::max(momentum, std::abs(*now.momentum - before.momentum.value()));
      before = now;
    }
    CAPTURE(total, lr, momentum);
    CHECK(lr <= slope / static_cast<double>(total));
    CHECK(momentum <= slope / static_cast<double>(total));
  }
}

/// Against tests/reference/make_schedule_fixtures.py: every run of that name, made by `make(kwargs)`.
inline void check_reference(const std::string& name, auto make) {
  using Catch::Matchers::WithinAbs, Catch::Matchers::WithinRel;
  int runs = 0;
  const auto fixture = json_fixture("schedule/torch_schedules.json");
  for (const auto& run : fixture["runs"]) {
    if (run["schedule"] != name) continue;
    ++runs;
    const AnySchedule schedule = make(run["kwargs"]);
    for (const Progress at : steps(run["steps"], run["steps_per_epoch"])) {
      const auto i = static_cast<std::size_t>(at.step);
      CAPTURE(run["kwargs"].dump(), i);
      // PyTorch goes on from the rate before: near 0 the last digits are cancellation, 1e-15 of the peak
      CHECK_THAT(schedule(at).lr, WithinRel(run["lr"][i].template get<double>(), 1e-12) ||
                                      WithinAbs(run["lr"][i].template get<double>(), 1e-15));
      REQUIRE(schedule(at).momentum.has_value() == run.contains("mom"));
      if (run.contains("mom"))
        CHECK_THAT(*schedule(at).momentum, WithinRel(run["mom"][i].template get<double>(), 1e-12));
    }
  }
  CHECK(runs > 1);
}

}  // namespace thaw::test
