// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/callback.hpp>

#include <thaw/data/in_memory.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>

#include <ATen/ops/randint.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include "support/bench.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;

namespace {

struct Recorder {
  std::vector<std::string> seen;
  std::vector<thaw::GroupPlan> plan;
  void on_stage_begin(const thaw::StageBegin& event) {
    seen.push_back("begin " + event.stage);
    plan = event.groups;
  }
  void on_step_end(const thaw::StepEnd& event) {
    seen.push_back("step " + std::to_string(event.step) + "/" + std::to_string(event.steps));
    CHECK(event.loss.dim() == 0);
    CHECK_FALSE(event.loss.requires_grad());
  }
  void on_epoch_end(const thaw::EpochEnd& event) { seen.push_back("epoch " + std::to_string(event.record.epoch)); }
  void on_stage_end(const thaw::StageEnd& event) { seen.push_back("end after " + std::to_string(event.record.steps)); }
};

struct Speaks {
  static constexpr bool first_process_only = true;
  int* steps;
  void on_step_end(const thaw::StepEnd&) const { ++*steps; }
};

/// Writes down every event.
struct All {
  std::string name;
  std::vector<std::string>* seen;
  void add(const std::string& event) const { seen->push_back(name + " " + event); }
  void on_stage_planned(const thaw::StagePlanned&) const { add("planned"); }
  void on_fit_begin(const thaw::FitBegin& e) const { add("fit of " + e.plan.at(0).name); }
  void on_stage_begin(const thaw::StageBegin&) const { add("stage begin"); }
  void on_epoch_begin(const thaw::EpochBegin& e) const { add("epoch begin " + std::to_string(e.epoch)); }
  void on_batch_ready(const thaw::BatchReady& e) const { add("batch of " + std::to_string(e.batch.size())); }
  void on_loss_ready(const thaw::LossReady&) const { add("loss"); }
  void on_gradients_ready(const thaw::GradientsReady& e) const {
    add("gradients " + std::to_string(e.learner.groups().gradients().size()));
  }
  void on_step_end(const thaw::StepEnd& e) const { add("step " + std::to_string(e.step)); }
  void on_epoch_trained(const thaw::EpochTrained&) const { add("trained"); }
  void on_epoch_end(const thaw::EpochEnd&) const { add("epoch end"); }
  void on_stage_end(const thaw::StageEnd&) const { add("stage end"); }
  void on_lr_find_end(const thaw::LRFindEnd& e) const { add("sweep of " + std::to_string(e.curve.lr.size())); }
};

struct OnlyEpochs {
  int* count;
  void on_epoch_end(const thaw::EpochEnd&) { ++*count; }
};

}  // namespace

TEST_CASE("callbacks see every event in order; those of the Learner come before those of fit") {
  thaw::test::TinyNet net;
  const at::Tensor target = at::randint(3, {16}, at::kLong);
  Recorder recorder;
  int epochs = 0;
  thaw::Learner learner{net,
                        thaw::LayerGroups::cut_before(net, {"head"}),
                        thaw::cross_entropy,
                        {.train = thaw::InMemory({.input = at::randn({16, 4}), .target = target, .batch_size = 8}),
                         .callbacks = {OnlyEpochs{&epochs}}}};
  learner.fit({.name = "one", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-3}, std::ref(recorder));
  CHECK(recorder.seen == std::vector<std::string>{"begin one", "step 1/4", "step 2/4", "epoch 1", "step 3/4",
                                                  "step 4/4", "epoch 2", "end after 4"});
  CHECK(epochs == 2);
  REQUIRE(recorder.plan.size() == 2);
  CHECK(recorder.plan[0].trained == 0);
  CHECK(recorder.plan[0].lr == 0);
  CHECK(recorder.plan[1].trained == 18);
  CHECK(recorder.plan[1].lr == 1e-3);
}

TEST_CASE("a stage runs through all events in their documented order, each through all callbacks in theirs") {
  thaw::test::TinyNet net(3, /*norm=*/false);
  std::vector<std::string> seen;
  thaw::Learner learner{
      net,
      thaw::LayerGroups::cut_before(net, {"head"}),
      thaw::cross_entropy,
      {.train = thaw::InMemory({.input = at::randn({6, 4}), .target = at::randint(3, {6}, at::kLong), .batch_size = 4}),
       .callbacks = {All{"a", &seen}}}};
  learner.fit({.freeze = thaw::FreezeTo{-1}}, All{"b", &seen});
  std::vector<std::string> expected;
  for (const std::string event :
       {"planned", "fit of fit", "stage begin", "epoch begin 1", "batch of 4", "loss", "gradients 2", "step 1",
        "batch of 2", "loss", "gradients 2", "step 2", "trained", "epoch end", "stage end"})
    for (const std::string name : {"a", "b"}) expected.push_back(name + " " + event);
  CHECK(seen == expected);

  seen.clear();
  (void)learner.find_lr({.steps = 2});
  CHECK(seen == std::vector<std::string>{"a planned", "a batch of 4", "a loss", "a gradients 2", "a batch of 2",
                                         "a loss", "a gradients 2", "a sweep of 2"});
}

TEST_CASE("a fit begins with its whole plan, once, and not again where it is resumed") {
  struct Plans {
    std::vector<std::vector<std::string>>* seen;
    void on_fit_begin(const thaw::FitBegin& event) const {
      seen->emplace_back();
      for (const thaw::StageDescription& stage : event.plan) seen->back().push_back(stage.name);
    }
  };
  struct Keep {
    std::vector<thaw::RunState>* states;
    void on_safe_point(const thaw::SafePoint& event) const { states->push_back(event.learner.run_state()); }
  };
  const std::vector<thaw::Stage> plan{{.name = "a"}, {.name = "b"}};
  std::vector<std::vector<std::string>> seen;
  std::vector<thaw::RunState> states;
  thaw::test::Bench bench, next;
  bench.learner->fit(plan, Plans{&seen}, Keep{&states});
  CHECK(seen == std::vector<std::vector<std::string>>{{"a", "b"}});
  next.learner->resume(states.at(3));
  next.learner->fit(plan, Plans{&seen}, Keep{&states});
  CHECK(seen.size() == 1);
  CHECK(next.learner->history().stages.size() == 2);
  next.learner->fit({.name = "c"}, Plans{&seen});
  CHECK(seen.back() == std::vector<std::string>{"c"});
}

TEST_CASE("a callback may stop the stage, scale its rates, and change a batch, a loss or the gradients") {
  struct Halve {
    void on_step_end(const thaw::StepEnd& event) const {
      event.learner.scale_lr(0.5);
      if (event.step == 3) event.learner.stop("third step");
      if (event.step == 3) event.learner.stop("not this reason");
    }
  };
  struct Nothing {  // makes every gradient zero, by way of the loss
    void on_loss_ready(const thaw::LossReady& event) const { event.loss = event.loss * 0; }
  };
  struct Meddle {
    void on_batch_ready(const thaw::BatchReady& event) const { event.batch.input.replace(0, event.batch.input[0] * 0); }
    void on_gradients_ready(const thaw::GradientsReady& event) const {
      for (at::Tensor gradient : event.learner.groups().gradients()) gradient.zero_();
    }
  };
  thaw::test::Bench bench({.norm = false});
  const thaw::Stage stage{.epochs = 2, .freeze = thaw::Unfrozen{}, .lr = 0.1, .schedule = thaw::Constant{}};
  const auto before = thaw::test::state_of(*bench.net);
  bench.learner->fit(stage, Nothing{});
  CHECK(thaw::test::same_state(before, *bench.net));
  bench.learner->fit(stage, Meddle{});
  CHECK(thaw::test::same_state(before, *bench.net));
  CHECK(bench.learner->history().steps[0].loss == 0);
  CHECK(bench.learner->history().steps[10].loss > 0);
  const thaw::EpochRecord last = bench.learner->fit(stage, Halve{});
  CHECK(last.stop == "third step");
  CHECK(last.epoch == 1);
  CHECK(last.valid.has_value());
  const auto& steps = bench.learner->history().steps;
  REQUIRE(steps.size() == 23);
  CHECK(last.steps_done == 23);
  CHECK(steps[20].lr[0] == 0.1);
  CHECK(steps[21].lr[0] == 0.05);
  CHECK(steps[22].lr[0] == 0.025);
  CHECK(bench.learner->fit(stage).stop.empty());
}

TEST_CASE("callbacks that ask for no batch per step are refused before anything changes") {
  struct None {
    void on_stage_planned(const thaw::StagePlanned& event) const { event.batches_per_step = 0; }
  };
  thaw::test::Bench bench;
  const auto before = thaw::test::state_of(*bench.net);
  CHECK_THROWS_MATCHES(bench.learner->fit({}, None{}), thaw::ConfigError,
                       MessageMatches(ContainsSubstring("callbacks: they ask for 0 batches per step") &&
                                      ContainsSubstring("take at least 1")));
  CHECK(thaw::test::same_state(before, *bench.net));
  CHECK(bench.learner->history().steps.empty());
}

TEST_CASE("a callback that is silenced hears the same events and does nothing; who speaks once says so") {
  int steps = 0;
  const thaw::Callback speaks(Speaks{&steps}), silent = speaks.silenced();
  CHECK(speaks.first_process_only());
  CHECK_FALSE(thaw::Callback(Recorder{}).first_process_only());
  CHECK(silent.name() == speaks.name());
  CHECK(silent.hears<thaw::StepEnd>());
  CHECK_FALSE(silent.hears<thaw::EpochEnd>());
  thaw::test::Bench bench;
  bench.learner->fit({.lr = 0.1}, silent);
  CHECK(steps == 0);
  bench.learner->fit({.lr = 0.1}, speaks);
  CHECK(steps == 5);
}

namespace {

/// Counts the epochs of a stage; its sum over all stages goes to who made it.
struct CountsEpochs {
  std::vector<std::int64_t>* seen;
  struct State {
    std::int64_t epochs = 0;
  };
  void on_epoch_end(const thaw::EpochEnd&, State& now) const { seen->push_back(++now.epochs); }
  static void on_run_state(const thaw::RunStateVisit& event, State& now) { event.state("epochs", now.epochs); }
};

}  // namespace

TEST_CASE("what a callback remembers is made anew as each stage begins, also by reference and behind a pointer") {
  std::vector<std::int64_t> seen;
  thaw::test::Bench bench;
  CountsEpochs named{&seen};
  const std::vector<thaw::Stage> plan{{.epochs = 2, .lr = 0.1}, {.epochs = 1, .lr = 0.1}};
  bench.learner->fit(plan, CountsEpochs{&seen});
  bench.learner->fit(plan, std::ref(named));
  bench.learner->fit(plan, std::make_shared<CountsEpochs>(named));
  CHECK(seen == std::vector<std::int64_t>{1, 2, 1, 1, 2, 1, 1, 2, 1});
}

TEST_CASE("what a callback remembers goes on in the middle of a stage that is resumed") {
  std::vector<std::int64_t> seen;
  thaw::RunState state;
  struct Keeps {
    thaw::RunState* state;
    void on_safe_point(const thaw::SafePoint& event) const {
      if (event.after != thaw::SafePoint::After::epoch || !state->empty()) return;
      for (const auto& [name, tensor] : event.learner.run_state()) (*state)[name] = tensor.clone();
    }
  };
  const thaw::Stage stage{.epochs = 3, .lr = 0.1};
  thaw::test::Bench bench;
  bench.learner->fit(stage, CountsEpochs{&seen}, Keeps{&state});
  thaw::test::Bench again;
  thaw::RunState unused = state;
  again.learner->resume(state);
  again.learner->fit(stage, CountsEpochs{&seen}, Keeps{&unused});
  CHECK(seen == std::vector<std::int64_t>{1, 2, 3, 2, 3});
}
