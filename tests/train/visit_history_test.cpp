// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/detail/visit_history.hpp>

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>

#include "support/numbers.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::History;
using thaw::LRCurve;
using thaw::RunState;
using thaw::StateVisitor;
using Names = std::vector<std::string>;

namespace {

/// Of two groups, every second of five steps recorded; one epoch with metrics, one without validation, one without
/// steps.
History some_history() {
  return {.groups = {"a", "b"},
          .steps = {{.lr = {0.1, 0.2}, .momentum = 0.9, .loss = 1},
                    {.lr = {0.3, 0.4}, .loss = thaw::test::not_a_number},
                    {.lr = {0, 0.6}, .momentum = 0.8, .loss = 3}},
          .every = 2,
          .steps_done = 5,
          .epochs = {{.stage = "head",
                      .epoch = 1,
                      .epochs = 2,
                      .steps_done = 3,
                      .lr = {0.3, 0.4},
                      .train_loss = 0.5,
                      .valid = thaw::Evaluation{.loss = 0.25, .metrics = {{"accuracy", 0.75}, {"f1", 0.5}}},
                      .seconds = 1.5},
                     {.stage = "head",
                      .epoch = 2,
                      .epochs = 2,
                      .steps_done = 5,
                      .lr = {0, 0.6},
                      .train_loss = 0.4,
                      .norms_only = {true, false}},
                     {.stage = "all",
                      .epoch = 1,
                      .epochs = 1,
                      .steps_done = 5,
                      .valid = thaw::Evaluation{.loss = 2, .metrics = {{"mae", 7}}},
                      .stop = "no data"}},
          .stages = {{.name = "head",
                      .first_step = 0,
                      .steps = 5,
                      .frozen = {true, false},
                      .frozen_part = "kept",
                      .lr = {0.5, 0.25},
                      .notes = {"one", "another"}},
                     {.name = "all", .first_step = 5, .steps = 0, .frozen = {false, true}}}};
}

RunState written_history(History of) {
  RunState state;
  thaw::detail::visit(StateVisitor(state, /*reading=*/false), of, of.groups);
  return state;
}

History history_from(RunState state, const Names& groups, const Names& here) {
  History result{.groups = here, .steps = {{}}, .epochs = {{}}, .stages = {{}}};  // what was there goes
  thaw::detail::visit(StateVisitor(state, /*reading=*/true), result, groups);
  return result;
}

void check_same_history(const History& a, const History& b) {
  CHECK(a.every == b.every);
  CHECK(a.steps_done == b.steps_done);
  REQUIRE(a.steps.size() == b.steps.size());
  for (std::size_t i = 0; i < a.steps.size(); ++i) {
    CHECK(a.steps[i].lr == b.steps[i].lr);
    CHECK(a.steps[i].momentum == b.steps[i].momentum);
    CHECK((a.steps[i].loss == b.steps[i].loss || (std::isnan(a.steps[i].loss) && std::isnan(b.steps[i].loss))));
  }
  REQUIRE(a.epochs.size() == b.epochs.size());
  for (std::size_t i = 0; i < a.epochs.size(); ++i) {
    const thaw::EpochRecord &x = a.epochs[i], &y = b.epochs[i];
    CHECK(x.stage == y.stage);
    CHECK(x.epoch == y.epoch);
    CHECK(x.epochs == y.epochs);
    CHECK(x.steps_done == y.steps_done);
    CHECK(x.lr == y.lr);
    CHECK(x.train_loss == y.train_loss);
    CHECK(x.seconds == y.seconds);
    CHECK(x.stop == y.stop);
    CHECK(x.norms_only == y.norms_only);
    REQUIRE(x.valid.has_value() == y.valid.has_value());
    if (!x.valid) continue;
    CHECK(x.valid->loss == y.valid->loss);
    REQUIRE(x.valid->metrics.size() == y.valid->metrics.size());
    for (std::size_t m = 0; m < x.valid->metrics.size(); ++m) {
      CHECK(x.valid->metrics[m].name == y.valid->metrics[m].name);
      CHECK(x.valid->metrics[m].value == y.valid->metrics[m].value);
    }
  }
  REQUIRE(a.stages.size() == b.stages.size());
  for (std::size_t i = 0; i < a.stages.size(); ++i) {
    CHECK(a.stages[i].name == b.stages[i].name);
    CHECK(a.stages[i].first_step == b.stages[i].first_step);
    CHECK(a.stages[i].steps == b.stages[i].steps);
    CHECK(a.stages[i].frozen == b.stages[i].frozen);
    CHECK(a.stages[i].frozen_part == b.stages[i].frozen_part);
    CHECK(a.stages[i].lr == b.stages[i].lr);
    CHECK(a.stages[i].notes == b.stages[i].notes);
  }
}

}  // namespace

TEST_CASE("a history is read as it was written, also one of nothing") {
  const Names groups{"a", "b"};
  check_same_history(history_from(written_history(some_history()), groups, groups), some_history());
  const History none{.groups = groups};
  check_same_history(history_from(written_history(none), groups, groups), none);
}

TEST_CASE("a history finds its groups by name; of one that was not there, nothing trained and nothing was frozen") {
  const History moved = history_from(written_history(some_history()), {"a", "b"}, {"new", "b", "a"});
  CHECK(moved.steps[0].lr == std::vector<double>{0, 0.2, 0.1});
  CHECK(moved.epochs[0].lr == std::vector<double>{0, 0.4, 0.3});
  CHECK(moved.epochs[2].lr.empty());  // it had no steps
  CHECK(moved.stages[0].frozen == std::vector<bool>{false, false, true});
  CHECK(moved.stages[1].frozen == std::vector<bool>{false, true, false});
  CHECK(moved.epochs[1].norms_only == std::vector<bool>{false, false, true});
  CHECK(moved.stages[0].lr == std::vector<double>{0, 0.25, 0.5});
  CHECK(moved.stages[1].lr.empty());
}

TEST_CASE("checkpoints of before have no peak rates, no notes, and nothing about norm layers and curves") {
  const Names groups{"a", "b"};
  RunState state = written_history(some_history());
  for (const char* name :
       {"epochs/norms", "epochs/norms_only", "stages/rates", "stages/lr", "stages/noted", "stages/notes"})
    CHECK(state.erase(name) == 1);
  const History read = history_from(state, groups, groups);
  CHECK(read.epochs[1].norms_only.empty());
  CHECK((read.stages[0].lr.empty() && read.stages[0].notes.empty()));
  CHECK(read.stages[0].frozen_part == "kept");

  thaw::LRCurve curve{.lr = {1}, .ratios = {0, 1}, .before_step = 7}, same, older;
  RunState curves;
  thaw::detail::visit(StateVisitor(curves, /*reading=*/false), curve);
  thaw::detail::visit(StateVisitor(curves, /*reading=*/true), same);
  CHECK((same.ratios == curve.ratios && same.before_step == 7));
  curves.erase("ratios");
  curves.erase("before_step");
  thaw::detail::visit(StateVisitor(curves, /*reading=*/true), older);
  CHECK((older.ratios.empty() && older.before_step == -1 && older.lr == curve.lr));
}

TEST_CASE("a history that no run can have written is refused") {
  const Names groups{"a", "b"};
  const auto refused = [&](const std::string& name, const at::Tensor& value, const char* why) {
    INFO(name);
    RunState state = written_history(some_history());
    REQUIRE(state.contains(name));
    if (value.defined())
      state[name] = value;
    else
      state.erase(name);
    CHECK_THROWS_MATCHES(history_from(state, groups, groups), thaw::FileError, MessageMatches(ContainsSubstring(why)));
  };
  const auto number = [](std::int64_t n) { return at::full({}, n, at::kLong); };
  refused("steps", {}, "of another kind");
  refused("steps", at::zeros({3 * 4}, at::kDouble), "of another kind");
  refused("steps", at::zeros({3, 5}, at::kDouble), "of another kind");
  refused("steps", at::zeros({3, 4}, at::kFloat), "of another kind");
  refused("steps", at::zeros({2, 4}, at::kDouble), "its steps do not fit their number");
  refused("steps", at::zeros({4, 4}, at::kDouble), "its steps do not fit their number");
  refused("every", number(0), "its steps do not fit their number");
  refused("every", number(-2), "its steps do not fit their number");
  refused("steps done", number(-1), "its steps do not fit their number");
  refused("steps done", number(4), "its steps do not fit their number");
  refused("steps done", number(7), "its steps do not fit their number");

  RunState whole = written_history(some_history());  // steps 0, 2 and 4 of six
  whole["steps done"] = number(6);
  CHECK(history_from(whole, groups, groups).steps_done == 6);
  whole["every"] = number(1), whole["steps done"] = number(3);
  CHECK(history_from(whole, groups, groups).every == 1);

  RunState none = written_history({.groups = groups});  // no steps, and yet some were done
  none["steps done"] = number(-1);
  CHECK_THROWS_AS(history_from(none, groups, groups), thaw::FileError);
}

TEST_CASE("the LR finder's curves are read as they were written, a number of them that makes no sense is refused") {
  std::vector<LRCurve> curves{{.lr = {1, 2}, .loss = {3, 4}, .smoothed = {5, 6}, .planned = 7, .stopped_early = true},
                              {.lr = {8}, .loss = {9}, .smoothed = {10}, .planned = 11}};
  RunState state;
  thaw::detail::visit(StateVisitor(state, /*reading=*/false), curves);
  std::vector<LRCurve> again(3);
  thaw::detail::visit(StateVisitor(state, /*reading=*/true), again);
  REQUIRE(again.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(again[i].lr == curves[i].lr);
    CHECK(again[i].loss == curves[i].loss);
    CHECK(again[i].smoothed == curves[i].smoothed);
    CHECK(again[i].planned == curves[i].planned);
    CHECK(again[i].stopped_early == curves[i].stopped_early);
  }
  for (const std::int64_t size : {std::int64_t{-1}, std::int64_t{1'000'001}}) {
    state["size"] = at::full({}, size, at::kLong);
    CHECK_THROWS_AS(thaw::detail::visit(StateVisitor(state, /*reading=*/true), again), thaw::FileError);
  }
}
