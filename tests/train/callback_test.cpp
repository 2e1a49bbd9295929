#include <thaw/train/callback.hpp>

#include <thaw/data/in_memory.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>

#include <ATen/ops/randint.h>
#include <catch2/catch_test_macros.hpp>

#include "support/nets.hpp"

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
