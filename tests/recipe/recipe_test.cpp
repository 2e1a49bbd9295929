// SPDX-License-Identifier: BSD-3-Clause
// A recipe: what it plans, that it can only gain, that it goes on where it was killed, and what it refuses.

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include <ATen/Context.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <thaw/data/in_memory.hpp>
#include <thaw/recipe/recipe_text.hpp>
#include <thaw/recipe/run_plan.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric.hpp>
#include <utility>
#include <vector>

#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::Learner;
using thaw::Recipe;

namespace {

/// Points around 6 centres; a class is a pair of centres, so that a linear head on a good body is needed.
struct Points {
  at::Tensor input, centre;
  explicit Points(std::int64_t samples, std::uint64_t seed) {
    at::manual_seed(seed);
    centre = at::arange(samples, at::kLong) % 6;
    const at::Tensor angle = centre.to(at::kFloat) * 1.0472;
    input = at::stack({angle.cos() * 2, angle.sin() * 2}, 1) + 0.6 * at::randn({samples, 2});
  }
  [[nodiscard]] thaw::InMemory data(std::int64_t classes, bool shuffle = false) const {
    return thaw::InMemory({.input = input, .target = centre % classes, .batch_size = 16, .shuffle = shuffle});
  }
};

struct Job {
  torch::nn::Sequential net{nullptr};
  std::unique_ptr<Learner> learner;

  explicit Job(thaw::LearnerOptions options = {}, bool one_group = false, std::uint64_t seed = 3) {
    at::manual_seed(seed);
    net = torch::nn::Sequential(torch::nn::Linear(2, 16), torch::nn::ReLU(), torch::nn::Linear(16, 16),
                                torch::nn::ReLU(), torch::nn::Linear(16, 6));
    const Points other(240, 5);
    Learner before(net, thaw::LayerGroups::cut_at(net, {}), thaw::cross_entropy, {.train = other.data(6, true)});
    before.fit({.epochs = 5, .lr = 1e-2});
    const auto old = net->named_parameters();
    old["4.weight"].set_data(at::randn({3, 16}) * 0.1);
    old["4.bias"].set_data(at::zeros({3}));
    if (!options.train) options.train = Points(96, 11).data(3, true);
    if (!options.valid) options.valid = Points(120, 12).data(3);
    if (options.metrics.empty()) options.metrics = {thaw::accuracy()};
    const auto cuts = one_group ? std::vector<std::size_t>{} : std::vector<std::size_t>{2, 4};
    learner =
        std::make_unique<Learner>(net, thaw::LayerGroups::cut_at(net, cuts), thaw::cross_entropy, std::move(options));
  }
};

/// Leaves the validation data out, which Job would give.
Job without_valid() {
  Job job;
  job.learner->data({.train = Points(96, 11).data(3, true)});
  return job;
}

struct Killed : std::runtime_error {
  Killed() : std::runtime_error("killed") {}
};

/// Keeps the run's state after the n-th step, and ends the run there.
struct KillAt {
  std::int64_t at;
  thaw::RunState* state;
  std::shared_ptr<std::int64_t> seen = std::make_shared<std::int64_t>(0);
  void on_safe_point(const thaw::SafePoint& event) const {
    if (event.after != thaw::SafePoint::After::step || ++*seen != at) return;
    for (const auto& [name, tensor] : event.learner.run_state()) (*state)[name] = tensor.clone();
    throw Killed();
  }
};

void check_refused(const std::function<void()>& call, const std::string& why) {
  CHECK_THROWS_MATCHES(call(), thaw::Error, MessageMatches(ContainsSubstring(why)));
}

}  // namespace

TEST_CASE("a recipe never ends below its own head, and says what it did") {
  Job job;
  const thaw::RecipeResult result = thaw::run_recipe(*job.learner, {.epochs = 4});
  REQUIRE(result.stages.size() == 2);
  CHECK(result.metric == "accuracy");
  CHECK(result.stages[0].name == "head");
  CHECK(result.stages[0].after > result.stages[0].before);
  CHECK(result.stages[1].before == result.stages[0].after);
  CHECK(result.stages[1].after >= result.stages[1].before);
  CHECK(result.valid.metrics[0].value == result.stages[1].after);
  CHECK(result.stages[1].lr > 0);
  const std::string text = to_text(result);
  CHECK(text.starts_with("head: accuracy "));
  CHECK(text.find(result.stages[1].what) != std::string::npos);
}

TEST_CASE("planning changes nothing: weights, modes, what is frozen, data and random numbers") {
  Job job;
  const auto before = thaw::test::state_of(*job.net);
  const thaw::RandomState random;
  const thaw::RecipePlan plan = thaw::make_plan(*job.learner, {.epochs = 4});
  CHECK(thaw::test::same_state(before, *job.net));
  CHECK_FALSE(random.moved());
  CHECK_FALSE(job.net->named_parameters()["4.weight"].grad().defined());
  CHECK(job.learner->groups().frozen() == std::vector{false, false, false});
  CHECK(job.learner->history().epochs.empty());
  REQUIRE(plan.stages.size() == 2);
  CHECK(plan.stages[0].stage.epochs == 30);
  CHECK(plan.stages[0].stage.cache);
  CHECK(plan.stages[0].head_decay);
  CHECK_FALSE(plan.stages[0].find);
  CHECK(plan.stages[1].stage.epochs == 4);
  CHECK(plan.stages[1].find);
  CHECK(to_text(plan).find("lowest held-out loss") != std::string::npos);
}

TEST_CASE("a plan is run as it was changed by hand") {
  Job job;
  thaw::RecipePlan plan = thaw::make_plan(*job.learner, {.epochs = 4});
  plan.stages[0].stage.epochs = 2;
  plan.stages[1].stage.epochs = 1;
  plan.stages[1].find.reset();
  plan.stages[1].stage.lr = 1e-3;
  const thaw::RecipeResult result = thaw::run_plan(*job.learner, plan);
  CHECK(job.learner->history().epochs.size() == 3);
  CHECK(result.stages[1].lr == 1e-3);
  CHECK(job.learner->lr_curves().empty());
  std::vector<std::string> notes = plan.notes;  // the records have them, for reports
  notes.push_back(plan.stages[0].why);
  const auto& stages = job.learner->history().stages;
  REQUIRE(stages[0].notes.size() == notes.size() + 1);
  CHECK(std::ranges::equal(notes, std::span(stages[0].notes).first(notes.size())));
  CHECK(stages[0].notes.back() ==
        "kept: " + result.stages[0].what + ", accuracy " + thaw::detail::number(result.stages[0].after));
  CHECK(stages[1].notes[0] == plan.stages[1].why);
}

TEST_CASE("no state of the model is validated twice") {
  std::int64_t passes = 0;
  const Points valid(120, 12);
  Job job(
      {.valid = thaw::InMemory(
           {.input = valid.input, .target = valid.centre % 3, .batch_size = 120, .transform = [&](const at::Tensor& x) {
              ++passes;
              return x;
            }})});
  thaw::RecipePlan plan = thaw::make_plan(*job.learner, {.epochs = 2, .line = 3});
  plan.stages.erase(plan.stages.begin());
  plan.stages[0].find.reset();
  passes = 0;
  const thaw::RecipeResult result = thaw::run_plan(*job.learner, plan);
  CHECK(passes == 1 + 2 + 3 + 1);  // as it begins, each epoch, points on the line; and one batch to try the data
  CHECK(result.valid.loss == job.learner->validate().loss);
}

TEST_CASE("a stage that explodes at its rate begins again at a third of it") {
  struct ExplodesAbove {
    double lr, times;
    bool in_stage = false;
    void on_stage_begin(const thaw::StageBegin&) { in_stage = true; }
    void on_loss_ready(const thaw::LossReady& event) const {
      const thaw::OptimizerGroups now(event.learner.optimizer(), event.learner.groups());
      if (in_stage && now.lr().back() > lr) event.loss = event.loss * times;
    }
    void on_stage_end(const thaw::StageEnd&) { in_stage = false; }
  };
  Job job;
  thaw::RecipePlan plan = thaw::make_plan(*job.learner, {.epochs = 2});
  plan.stages.erase(plan.stages.begin());
  thaw::RecipeStage& stage = plan.stages[0];

  SECTION("to what is no number, at a rate given by hand") {
    stage.find.reset();
    stage.stage.lr = 0.02;
    stage.stage.schedule = thaw::Constant{};
    const auto result = thaw::run_plan(*job.learner, plan, ExplodesAbove{.lr = 3e-3, .times = NAN});
    CHECK_THAT(result.stages[0].lr, Catch::Matchers::WithinRel(0.02 / 9, 1e-12));
    CHECK(job.learner->history().stages.size() == 3);
    const std::vector<std::string>& notes = job.learner->history().stages[1].notes;
    CHECK_THAT(notes.at(notes.size() - 2), ContainsSubstring("begins again, at a third of the rate: "));  // then "kept"
    CHECK(result.stages[0].after >= result.stages[0].before);
  }
  SECTION("above four times what the finder began with") {
    const double found = thaw::run_plan(*Job().learner, plan).stages[0].lr;
    const auto result = thaw::run_plan(*job.learner, plan, ExplodesAbove{.lr = found / 2, .times = 1000});
    CHECK_THAT(result.stages[0].lr, Catch::Matchers::WithinRel(found / 3, 1e-12));
  }
  SECTION("and not for ever") {
    const auto result = thaw::run_plan(*job.learner, plan, ExplodesAbove{.lr = 0, .times = NAN});
    CHECK(job.learner->history().stages.size() == 4);
    CHECK(result.stages[0].what == "as it began");
  }
}

TEST_CASE("the head's decay holds for its stage alone") {
  Job job;
  const thaw::OptimizerGroups groups(job.learner->optimizer(), job.learner->groups());
  std::vector<double> decays;
  struct Watch {
    const thaw::OptimizerGroups* groups;
    std::vector<double>* decays;
    void on_stage_begin(const thaw::StageBegin&) const { decays->push_back(groups->weight_decay(2).value()); }
  };
  thaw::RecipePlan plan = thaw::make_plan(*job.learner, {.epochs = 1});
  plan.stages[0].head_decay = 7;
  (void)thaw::run_plan(*job.learner, plan, Watch{&groups, &decays});
  CHECK(decays == std::vector{7.0, 0.01});
  CHECK(groups.weight_decay(2) == 0.01);
}

TEST_CASE("a recipe that is killed anywhere goes on, bit for bit") {
  Job whole;
  const thaw::RecipeResult expected = thaw::run_recipe(*whole.learner, {.epochs = 2});
  const auto weights = thaw::test::state_of(*whole.net);
  for (const std::int64_t at : {1, 70, 181, 187, 192}) {  // 30 epochs of the head have 180 steps
    thaw::RunState state;
    {
      Job killed;
      REQUIRE_THROWS_AS(thaw::run_recipe(*killed.learner, {.epochs = 2}, KillAt{.at = at, .state = &state}), Killed);
    }
    Job again({}, false, 4);  // other weights, from which other things would follow
    again.learner->resume(state);
    const thaw::RecipeResult result =
        thaw::run_recipe(*again.learner, {.epochs = 2}, KillAt{.at = -1, .state = &state});
    CHECK(thaw::test::same_state(weights, *again.net));
    CHECK(result.stages[1].lr == expected.stages[1].lr);
    CHECK(result.stages[1].after == expected.stages[1].after);
  }
}

TEST_CASE("sizes: that with the lowest held-out loss is taken") {
  Job job;
  const Points good(96, 11), valid(120, 12);
  const auto at_size = [&](int size) -> thaw::LearnerData {
    const auto blurred = [size](const at::Tensor& x) -> at::Tensor { return size < 200 ? x * 0 : x; };
    return {.train = thaw::InMemory(
                {.input = good.input, .target = good.centre % 3, .batch_size = 16, .transform = blurred}),
            .valid = thaw::InMemory({.input = valid.input, .target = valid.centre % 3, .transform = blurred})};
  };
  for (const std::vector<int>& sizes : {std::vector{96, 224}, std::vector{224, 96}}) {
    const thaw::RecipePlan plan = thaw::make_plan(*job.learner, {.at_size = at_size, .sizes = sizes});
    CHECK(plan.size == 224);
    CHECK(to_text(plan).starts_with("images of 224 px\n"));
  }
}

TEST_CASE("a time that is too short for an epoch of all leaves the head, and says so") {
  Job job;
  const thaw::RecipePlan plan = thaw::make_plan(*job.learner, {.epochs = 5, .minutes = 1e-9});
  REQUIRE(plan.stages.size() == 1);
  CHECK(plan.notes.back() == "no epoch of the whole network fits into 1e-09 minutes: the head alone is trained");
  const thaw::RecipePlan enough = thaw::make_plan(*job.learner, {.epochs = 5, .minutes = 60});
  CHECK(enough.stages.at(1).stage.epochs == 5);
}

TEST_CASE("without validation data a fifth is held back, of each class as much, and it says so") {
  Job job = without_valid();
  const thaw::RecipePlan plan = thaw::make_plan(*job.learner);
  CHECK(to_text(plan).find("a fifth of the training data is held back") != std::string::npos);
  CHECK(plan.data.train.indexed()->samples == 75);
  CHECK(plan.data.valid.indexed()->samples == 21);
  CHECK(plan.data.valid.targets()[0].bincount().equal(at::full({3}, 7, at::kLong)));
  CHECK(thaw::run_plan(*job.learner, plan).valid.metrics[0].value > 0.5);
}

TEST_CASE("where the head cannot be tried on folds, the finder gives its rate") {
  Job one({}, /*one_group=*/true);
  CHECK(thaw::make_plan(*one.learner).stages.size() == 1);

  Job sgd({.optimizer = [](const thaw::LayerGroups& groups) -> std::unique_ptr<torch::optim::Optimizer> {
    return std::make_unique<torch::optim::SGD>(thaw::param_groups(groups), torch::optim::SGDOptions(0.1));
  }});
  const thaw::RecipePlan plan = thaw::make_plan(*sgd.learner);
  REQUIRE(plan.stages.size() == 2);
  CHECK(plan.stages[0].find);
  CHECK_THAT(plan.stages[0].why, ContainsSubstring("the optimizer is not AdamW"));
}

TEST_CASE("a recipe refuses what it cannot do, before anything is changed") {
  Job job;
  const auto before = thaw::test::state_of(*job.net);
  Learner& learner = *job.learner;
  const auto with = [&](const Recipe& recipe) {
    return [&learner, recipe] { (void)thaw::make_plan(learner, recipe); };
  };
  check_refused(with({.epochs = 0}), "a budget of 0 epochs");
  check_refused(with({.minutes = -1}), "-1 minutes");
  check_refused(with({.sizes = {64}}), "no data at a size");
  check_refused(with({.at_size = [&](int) { return learner.data(); }}), "at_size is given without sizes");
  check_refused(with({.metric = "acuracy"}), "no metric is called \"acuracy\"");
  check_refused(with({.folds = 1}), "1 folds");

  const Points points(96, 11);
  const thaw::InMemory alike({.input = points.input, .target = at::zeros({96}, at::kLong)});
  learner.data({.train = alike, .valid = points.data(3)});
  check_refused(with({}), "training data: all samples have the same target");
  learner.data({.train = points.data(3), .valid = alike});
  check_refused(with({}), "validation data: all samples have the same target");
  learner.data({.train = std::vector<thaw::Batch>{{points.input, points.centre % 3}}});
  check_refused(with({}), "the training data cannot give a part of itself");
  CHECK(thaw::test::same_state(before, *job.net));
}

TEST_CASE("norm layers are held, but those that have never measured anything") {
  const auto plan_of = [](bool body_measured, bool head_norm) {
    at::manual_seed(1);
    torch::nn::Sequential net(torch::nn::Linear(2, 8), torch::nn::BatchNorm1d(8), torch::nn::ReLU());
    if (body_measured) net->named_buffers()["1.running_mean"].fill_(0.5);
    if (head_norm) net->push_back(torch::nn::BatchNorm1d(8));
    net->push_back(torch::nn::Linear(8, 3));
    Learner learner(net, thaw::LayerGroups::cut_at(net, {3}), thaw::cross_entropy,
                    {.train = Points(96, 11).data(3, true), .valid = Points(120, 12).data(3)});
    return thaw::make_plan(learner);
  };
  const auto rules = [&](bool body_measured, bool head_norm) {
    const thaw::RecipePlan plan = plan_of(body_measured, head_norm);
    return std::pair(plan.stages.at(0).stage.norm, plan.stages.at(1).stage.norm);
  };
  const auto both = [](thaw::NormRule head, thaw::NormRule thawed) {
    return std::pair<thaw::NormChange, thaw::NormChange>(head, thawed);
  };
  CHECK((rules(true, false) == both(thaw::hold_everywhere, thaw::hold_everywhere)));
  CHECK((rules(true, true) == both({}, thaw::hold_everywhere)));
  CHECK((rules(false, true) == both({}, {})));
  CHECK_THAT(to_text(plan_of(true, true)), ContainsSubstring("they measure it while the head trains"));
}

TEST_CASE("odd data is said, not refused") {
  Job job;
  const at::Tensor target = at::arange(10, at::kLong) % 2;
  target[9] = 2;
  job.learner->data(
      {.train = thaw::InMemory({.input = at::randn({10, 2}), .target = target}), .valid = job.learner->data().valid});
  const std::string text = to_text(thaw::make_plan(*job.learner));
  CHECK_THAT(text, ContainsSubstring("classes with one training sample, of which little can be learnt: 2"));
  CHECK_THAT(text, ContainsSubstring("the training data is one batch"));
}
