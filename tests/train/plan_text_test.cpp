// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/train/detail/plan_text.hpp>

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <string>
#include <vector>

using thaw::detail::PlannedStage;
using Lines = std::vector<std::string>;

namespace {

struct ThreeLayers {
  torch::nn::Sequential module{torch::nn::Linear(2, 2), torch::nn::Linear(2, 2), torch::nn::Linear(2, 2)};
  thaw::LayerGroups groups = thaw::LayerGroups::per_child(module);
};

PlannedStage planned_as(std::int64_t epochs, std::int64_t steps_per_epoch) {
  return {.peak_lr = {0.5, 0.25, 0.125},
          .frozen = {{.step = 0, .frozen = {true, true, false}}, {.step = 2, .frozen = {false, false, false}}},
          .norm = {},
          .epochs = epochs,
          .steps_per_epoch = steps_per_epoch,
          .batches_per_step = 2};
}

Lines words_of(const std::vector<thaw::Stage>& plan, const std::vector<PlannedStage>& stages) {
  return thaw::detail::plan_text(ThreeLayers().groups, plan, stages);
}

const thaw::AnySchedule steps_of_it = [](const thaw::Progress& at) {
  return thaw::ScheduleValue(static_cast<double>(at.step), at.step == 1 ? 0.5 : 0.75);
};

}  // namespace

TEST_CASE("a plan in words has all that decides a result, stage by stage, group by group, step by step") {
  CHECK(words_of({{.name = "head", .schedule = steps_of_it},
                  {.name = "all", .schedule = thaw::Constant{}, .reset_optimizer = true}},
                 {planned_as(1, 3), planned_as(2, 1)}) == Lines{"stage 1, \"head\": 1 epochs",
                                                                "stage 1, \"head\": 3 steps per epoch",
                                                                "stage 1, \"head\": 2 batches per step",
                                                                "stage 1, \"head\": peak rate of group \"0\" 0.5",
                                                                "stage 1, \"head\": peak rate of group \"1\" 0.25",
                                                                "stage 1, \"head\": peak rate of group \"2\" 0.125",
                                                                "stage 1, \"head\": frozen from step 0 on: 0, 1",
                                                                "stage 1, \"head\": frozen from step 2 on: nothing",
                                                                "stage 1, \"head\": norm rule 0, 2",
                                                                "stage 1, \"head\": optimizer kept",
                                                                "stage 1, \"head\": schedule 0/0.75 1/0.5 2/0.75",
                                                                "stage 2, \"all\": 2 epochs",
                                                                "stage 2, \"all\": 1 steps per epoch",
                                                                "stage 2, \"all\": 2 batches per step",
                                                                "stage 2, \"all\": peak rate of group \"0\" 0.5",
                                                                "stage 2, \"all\": peak rate of group \"1\" 0.25",
                                                                "stage 2, \"all\": peak rate of group \"2\" 0.125",
                                                                "stage 2, \"all\": frozen from step 0 on: 0, 1",
                                                                "stage 2, \"all\": frozen from step 2 on: nothing",
                                                                "stage 2, \"all\": norm rule 0, 2",
                                                                "stage 2, \"all\": optimizer reset",
                                                                "stage 2, \"all\": schedule 1 1"});
  const Lines cached =
      words_of({{.name = "head", .cache = {.where = thaw::Cache::Where::memory, .passes = 3}}}, {planned_as(1, 1)});
  CHECK(std::ranges::find(cached, "stage 1, \"head\": a cache of 3 passes") != cached.end());
  const Lines more = words_of(
      {{.name = "head", .max_batches = 7, .weight_decay = thaw::WeightDecay(0.5, [](double t) { return 1 - t; })}},
      {planned_as(1, 2)});
  CHECK(std::ranges::find(more, "stage 1, \"head\": at most 7 batches per epoch") != more.end());
  CHECK(std::ranges::find(more, "stage 1, \"head\": weight decay 0.5 0.25") != more.end());
}

TEST_CASE("a long schedule is told by 65 of its steps, the first and the last among them") {
  const std::string line = words_of({{.name = "long", .schedule = steps_of_it}}, {planned_as(10, 129)}).back();
  CHECK(std::ranges::count(line, '/') == 65);
  CHECK(line.starts_with("stage 1, \"long\": schedule 0/0.75 20/0.75 40/0.75 60/0.75 80/0.75 100/0.75 120/0.75 140/"));
  CHECK(line.ends_with(" 1268/0.75 1289/0.75"));
}

TEST_CASE("what two lists have apart is named, long lines by their begin") {
  using thaw::detail::differences;
  CHECK(differences({"a", "b"}, {"b", "a"}).empty());
  CHECK(differences({"a", "b"}, {"b", "c"}) == "the checkpoint has a; this run has c");
  CHECK(differences({"a"}, {}) == "the checkpoint has a");
  CHECK(differences({}, {"a"}) == "this run has a");
  std::string longest;
  for (int i = 0; i < 160; ++i) longest += static_cast<char>('a' + i % 26);
  CHECK(differences({longest}, {}) == "the checkpoint has " + longest);
  CHECK(differences({longest + "!"}, {}) == "the checkpoint has " + longest + "...");
}
