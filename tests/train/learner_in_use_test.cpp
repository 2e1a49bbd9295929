// SPDX-License-Identifier: BSD-3-Clause
// What a Learner promises to a program that is not ours: models that change, several Learners, calls from callbacks,
// losses of LibTorch's own.

#include <thaw/train/learner.hpp>

#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/loss.h>
#include <torch/optim/lbfgs.h>

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <thaw/data/in_memory.hpp>
#include <thaw/groups/freeze.hpp>
#include <thaw/groups/gradual_unfreeze.hpp>
#include <thaw/train/early_stop.hpp>
#include <thaw/train/keep_best.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/loss_dice.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/train/metric_regression.hpp>
#include <thaw/train/nan_guard.hpp>
#include <thaw/train/plan.hpp>
#include <thaw/train/save_best.hpp>
#include <thaw/train/weight_average.hpp>
#include <vector>

#include "support/bench.hpp"
#include "support/folder.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::test::Bench;
using thaw::test::changed;
using thaw::test::state_of;
using thaw::test::TinyNet;

namespace {

void refused(const std::function<void()>& call, const std::string& why) {
  CHECK_THROWS_MATCHES(call(), thaw::ConfigError, MessageMatches(ContainsSubstring(why)));
}

/// Calls once, at the n-th step of a fit.
struct AtStep {
  std::int64_t step;
  std::function<void(thaw::Learner&)> call;
  void on_step_end(const thaw::StepEnd& event) {
    if (event.step == step) call(event.learner);
  }
};

/// A model of which one part was never registered, so that parameters() does not have it.
struct ForgetfulImpl : torch::nn::Module {
  ForgetfulImpl() { body = register_module("body", torch::nn::Linear(4, 4)); }
  at::Tensor forward(const at::Tensor& x) { return head->forward(body->forward(x)); }
  torch::nn::Linear body{nullptr}, head{4, 3};
};
TORCH_MODULE(Forgetful);

}  // namespace

TEST_CASE("a module that was replaced after the groups were made is refused, and named") {
  TinyNet net;
  const auto replace = [&] { net->head = net->replace_module("head", torch::nn::Linear(5, 3)); };
  const thaw::LayerGroups groups = thaw::LayerGroups::cut_before(net, {"head"});
  const Bench data({.dtype = at::kFloat});
  const auto learner = [&] { return thaw::Learner(net, groups, thaw::cross_entropy, {.train = data.data(8)}); };
  SECTION("before the Learner was made") {
    replace();
    refused([&] { learner().fit({}); }, "head.bias, head.weight");
  }
  SECTION("after it was made, whatever is asked of it") {
    thaw::Learner made = learner();
    made.fit({.epochs = 1});
    replace();
    const auto before = state_of(*net);
    refused([&] { made.fit({}); }, "head.bias, head.weight");
    refused([&] { made.fit({.freeze = thaw::FreezeTo{-1}}); }, "head.weight");
    refused([&] { (void)made.describe({{}}); }, "head.weight");
    refused([&] { (void)made.find_lr(); }, "head.weight");
    refused([&] { (void)made.run_state(); }, "head.weight");
    refused([&] { made.save(thaw::test::Folder() / "x.pt"); }, "head.weight");
    CHECK(changed(before, *net).empty());
  }
  SECTION("a tensor that forward takes in place of the registered one") {
    thaw::Learner made = learner();
    net->head->weight = at::randn({3, 5}).requires_grad_();
    refused([&] { made.fit({}); }, "in no layer group");
  }
}

TEST_CASE("a part of the model that was never registered is refused: nothing would train it") {
  Forgetful net;
  const Bench data({.dtype = at::kFloat});
  thaw::Learner learner(net, thaw::LayerGroups::per_child(net), thaw::cross_entropy, {.train = data.data(8)});
  refused([&] { learner.fit({}); }, "Float [3, 4] tensor that requires a gradient and is in no layer group");
}

TEST_CASE("a callback may validate and predict: the rest of the epoch trains as it would have") {
  const auto look = [](thaw::Learner& learner) {
    (void)learner.validate();
    (void)learner.predict(at::ones({1, 4}, at::kDouble));
    (void)learner.outputs(learner.data().valid);
  };
  Bench plain({.norm = true}), looked({.norm = true});
  plain.learner->fit({.epochs = 2, .lr = 0.1});
  looked.learner->fit({.epochs = 2, .lr = 0.1}, AtStep{1, look});
  CHECK(changed(state_of(*plain.net), *looked.net).empty());

  const bool training = GENERATE(true, false);
  looked.net->train(training);
  look(*looked.learner);
  CHECK(looked.net->stem->is_training() == training);
}

TEST_CASE("a callback that begins another fit, finds a rate or changes the data is told so") {
  Bench bench;
  const auto within = [&](const auto& call) { return [&, call] { bench.learner->fit({}, AtStep{2, call}); }; };
  refused(within([](thaw::Learner& l) { l.fit({.name = "inner"}); }), "a callback calls it while a fit");
  refused(within([](thaw::Learner& l) { (void)l.find_lr(); }), "Learner::find_lr");
  refused(within([](thaw::Learner& l) { l.data(l.data()); }), "Learner::data");
  refused(within([](thaw::Learner& l) { l.resume({}); }), "Learner::resume");
  CHECK(bench.learner->fit({}).epoch == 1);
}

TEST_CASE("what a stage freezes is put on the model as it begins, whoever froze it before") {
  Bench bench;
  thaw::Learner& a = *bench.learner;
  thaw::Learner b(bench.net, thaw::LayerGroups::cut_before(bench.net, {"body", "head"}), thaw::cross_entropy,
                  {.train = bench.data(8)});
  a.fit({.freeze = thaw::FreezeTo{-1}});
  auto before = state_of(*bench.net);
  b.fit({.epochs = 1});  // thawed, as far as b knows
  CHECK(thaw::test::any_starts_with(changed(before, *bench.net), "stem"));
  before = state_of(*bench.net);
  a.fit({.epochs = 1});  // its body is still frozen
  CHECK_FALSE(thaw::test::any_starts_with(changed(before, *bench.net), "stem"));
  CHECK(a.history().steps.back().lr[0] == 0);

  for (at::Tensor& parameter : bench.net->parameters()) parameter.requires_grad_(false);
  before = state_of(*bench.net);
  b.fit({.epochs = 1});
  CHECK(changed(before, *bench.net).size() == 6);
}

TEST_CASE("a norm rule counts wherever it is given, and stays until another is") {
  Bench bench({.norm = true});
  thaw::Learner& learner = *bench.learner;
  learner.fit({.epochs = 1, .norm = thaw::hold_everywhere});  // nothing is said of freezing
  CHECK(learner.groups().norm_rule() == thaw::hold_everywhere);
  const auto statistics = [&] { return bench.net->named_buffers()["stem.1.running_mean"].clone(); };
  const at::Tensor held = statistics();
  learner.fit({.epochs = 1, .freeze = thaw::Unfrozen{}});  // nothing of norms
  CHECK(at::equal(statistics(), held));
  learner.unfreeze();
  CHECK(learner.groups().norm_rule() == thaw::hold_everywhere);
  learner.fit({.epochs = 1, .norm = {.thawed = thaw::Norm::train}});
  CHECK_FALSE(at::equal(statistics(), held));
  CHECK(learner.groups().norm_rule() == thaw::NormRule{});
}

TEST_CASE("a plan can be written in braces") {
  Bench bench;
  bench.learner->fit({{.name = "one", .epochs = 1, .freeze = thaw::FreezeTo{-1}}, {.name = "two", .epochs = 2}});
  REQUIRE(bench.learner->history().stages.size() == 2);
  CHECK(bench.learner->history().stages[1].name == "two");
}

TEST_CASE("schedules that give no rate are refused before training; a rate of 0 throughout is noted") {
  Bench bench;
  const auto before = state_of(*bench.net);
  const auto fit = [&](thaw::AnySchedule schedule) {
    return [&, schedule] { bench.learner->fit({.name = "odd", .epochs = 2, .lr = 1e-3, .schedule = schedule}); };
  };
  refused(fit([](double t) { return t < 0.5 ? 1.0 : NAN; }),
          "stage \"odd\": its schedule gives a rate multiplier of nan at step 5 of 10");
  refused(fit([](double) { return -1.0; }), "multiplier of -1 at step 0");
  refused(fit([](double) { return thaw::ScheduleValue(1, INFINITY); }), "a momentum of inf");
  CHECK(changed(before, *bench.net).empty());
  const auto notes = bench.learner->describe({{.schedule = [](double) { return 0.0; }}}).at(0).notes;
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], ContainsSubstring("a rate of 0 at every step"));
}

TEST_CASE("the loss's own check is called with what the loss takes") {
  struct Pair {
    at::Tensor a, b;
  };
  struct Checked {
    at::Tensor operator()(const Pair& output, const Pair& target) const {
      return (output.a - target.a).square().mean() + (output.b - target.b).square().mean();
    }
    void check(const Pair&, const Pair&) const { throw thaw::DataError("Checked", "seen", "none"); }
  };
  struct TwoImpl : torch::nn::Module {
    TwoImpl() { layer = register_module("layer", torch::nn::Linear(4, 1)); }
    Pair forward(const at::Tensor& x) { return {layer->forward(x), layer->forward(-x)}; }
    torch::nn::Linear layer{nullptr};
  };
  const auto net = std::make_shared<TwoImpl>();
  const std::vector<thaw::Batch> data{
      {.input = at::ones({4, 4}), .target = std::vector{at::ones({4, 1}), at::ones({4, 1})}}};
  thaw::Learner learner(net, thaw::LayerGroups::per_child(net), Checked{}, {.train = data});
  CHECK_THROWS_MATCHES(learner.fit({}), thaw::DataError, MessageMatches(ContainsSubstring("Checked: seen")));
}

TEST_CASE("LibTorch's own losses are taken as they are") {
  const auto trained = [](auto loss) {
    Bench bench({.dtype = at::kFloat});
    thaw::Learner learner(bench.net, thaw::LayerGroups::cut_before(bench.net, {"head"}), loss,
                          {.train = bench.data(8), .valid = bench.data(8)});
    learner.fit({.epochs = 2, .lr = 1e-2});
    return learner.validate().loss;
  };
  const double expected = trained(thaw::cross_entropy);
  CHECK(trained(torch::nn::CrossEntropyLoss()) == expected);
  CHECK(trained(torch::nn::functional::cross_entropy) == expected);
  refused([&] { trained(torch::nn::CrossEntropyLoss(torch::nn::CrossEntropyLossOptions().reduction(torch::kSum))); },
          "the loss module is no mean over the samples");
}

TEST_CASE("LBFGS is refused as the Learner is made") {
  TinyNet net;
  refused(
      [&] {
        thaw::Learner(net, thaw::LayerGroups::cut_before(net, {}), thaw::cross_entropy,
                      {.train = Bench().data(8), .optimizer = [](const thaw::LayerGroups& groups) {
                         return std::make_unique<torch::optim::LBFGS>(groups.module()->parameters());
                       }});
      },
      "LBFGS");
}

TEST_CASE("types and shapes that do not fit are named before training") {
  const auto told = [](const Bench& bench, thaw::DataSource train, thaw::DataSource valid, const std::string& why) {
    thaw::Learner learner(bench.net, thaw::LayerGroups::cut_before(bench.net, {"head"}), thaw::mse,
                          {.train = std::move(train), .valid = std::move(valid)});
    CHECK_THROWS_MATCHES(learner.fit({}), thaw::DataError, MessageMatches(ContainsSubstring(why)));
  };
  const auto batch = [](std::int64_t features, at::ScalarType type) {
    return std::vector<thaw::Batch>{{.input = at::ones({4, features}, type), .target = at::ones({4, 3}, type)}};
  };
  const Bench doubles, floats({.dtype = at::kFloat});
  told(doubles, batch(4, at::kFloat), {}, "an input of Float [4, 4]; its parameter stem.0.weight is Double");
  told(floats, batch(7, at::kFloat), {}, "training data: the model cannot take an input of Float [4, 7]");
  told(floats, batch(4, at::kFloat), batch(7, at::kFloat), "validation data: the model cannot take an input");

  const auto picks = [](const at::Tensor& output, const at::Tensor& target) {
    return -output.log_softmax(1).gather(1, target.unsqueeze(1)).mean();
  };
  thaw::Learner learner(floats.net, thaw::LayerGroups::cut_before(floats.net, {"head"}), picks,
                        {.train = std::vector<thaw::Batch>{
                             {.input = at::ones({4, 4}), .target = at::full({4}, 9, at::TensorOptions(at::kLong))}}});
  CHECK_THROWS_MATCHES(learner.fit({}), thaw::DataError,
                       MessageMatches(ContainsSubstring("an output of Float [4, 3] and a target of Long [4]")));
}

TEST_CASE("a stage of which the loss sees nothing is refused") {
  struct AsideImpl : torch::nn::Module {
    AsideImpl() {
      used = register_module("used", torch::nn::Linear(4, 3));
      aside = register_module("aside", torch::nn::Linear(4, 3));
    }
    at::Tensor forward(const at::Tensor& x) { return used->forward(x); }
    torch::nn::Linear used{nullptr}, aside{nullptr};
  };
  const auto net = std::make_shared<AsideImpl>();
  const Bench data({.dtype = at::kFloat});
  thaw::Learner learner(net, thaw::LayerGroups::per_child(net), thaw::cross_entropy, {.train = data.data(8)});
  refused([&] { learner.fit({.freeze = thaw::FreezeTo{-1}}); }, "does not depend on anything that trains");
}

// ---- callbacks ----

TEST_CASE("a metric says which way it should go; where nobody does, that is an error before training") {
  const auto rising_error = [](const at::Tensor& output, const at::Tensor&) { return output.sum().detach() * 0 + 1; };
  const auto fit = [&](const thaw::Metric& metric, thaw::Callback callback) {
    Bench bench;
    thaw::Learner learner(bench.net, thaw::LayerGroups::cut_before(bench.net, {}), thaw::cross_entropy,
                          {.train = bench.data(8), .valid = bench.data(8), .metrics = {metric}});
    return learner.fit({.epochs = 4}, std::move(callback));
  };
  const thaw::test::Folder folder;
  const thaw::Metric wer = thaw::mean_metric("wer", rising_error);
  refused(
      [&] {
        fit(wer, thaw::SaveBest{folder / "b.pt", "wer"});
      },
      "nothing says whether \"wer\" should rise or fall");
  refused([&] { fit(wer, thaw::EarlyStop{"wer"}); }, "EarlyStop");
  refused([&] { fit(wer, thaw::KeepBest{"wer"}); }, "KeepBest");
  CHECK(fit(wer, thaw::SaveBest{folder / "b.pt", {"wer", thaw::Better::lower}}).epoch == 4);
  CHECK(fit(thaw::mean_metric("wer", rising_error, thaw::Better::lower), thaw::EarlyStop{"wer", 4}).epoch == 4);

  thaw::Monitor renamed{"off by"};
  Bench bench;
  thaw::Metric mae = thaw::mae();
  mae.name = "off by";
  const thaw::Learner learner(bench.net, thaw::LayerGroups::cut_before(bench.net, {}), thaw::cross_entropy,
                              {.train = bench.data(8), .valid = bench.data(8), .metrics = {mae}});
  renamed.settle(learner, "test");
  CHECK(renamed.lower_is_better());
}

TEST_CASE("a file whose folder is not there is refused before training") {
  Bench bench;
  const auto before = state_of(*bench.net);
  CHECK_THROWS_MATCHES(bench.learner->fit({.epochs = 2}, thaw::SaveBest{"no/such/best.pt"}), thaw::FileError,
                       MessageMatches(ContainsSubstring("there is no folder no/such")));
  CHECK(changed(before, *bench.net).empty());
}

TEST_CASE("two callbacks that each put other weights into the model as a stage ends are refused") {
  Bench bench;
  const thaw::test::Folder folder;
  const thaw::SaveBest best{folder / "best.pt"};
  refused([&] { bench.learner->fit({}, best, thaw::SWA{.start = 0}); }, "SaveBest, SWA each put other weights");
  refused([&] { bench.learner->fit({}, thaw::SWA{.start = 0}, best); }, "SWA, SaveBest");
  refused([&] { bench.learner->fit({}, thaw::SWA{.start = 0}, thaw::KeepBest{}); }, "SWA, KeepBest");
  CHECK(bench.learner->fit({}, thaw::SaveBest{.path = folder / "best.pt", .restore = false}, thaw::SWA{.start = 0})
            .epoch == 1);
}

TEST_CASE("averages are over the same epochs for all that trains, also for what thaws on the way") {
  struct Epochs {
    const torch::nn::Module* net;
    std::vector<std::map<std::string, at::Tensor>> ends = {};
    void on_epoch_trained(const thaw::EpochTrained&) { ends.push_back(state_of(*net)); }
  };
  Bench bench;
  Epochs epochs{&*bench.net};
  bench.learner->fit({.epochs = 4, .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{2}}, .schedule = thaw::Constant{}},
                     std::ref(epochs), thaw::SWA{.start = 0});
  for (const auto& [name, now] : state_of(*bench.net)) {
    CAPTURE(name);
    at::Tensor sum = at::zeros_like(now);
    for (const auto& end : epochs.ends) sum += end.at(name);
    CHECK(at::allclose(now, sum / 4, 1e-12, 1e-14));
  }
  CHECK(at::equal(epochs.ends[0].at("body.0.weight"), epochs.ends[1].at("body.0.weight")));
  CHECK_FALSE(at::equal(epochs.ends[1].at("body.0.weight"), epochs.ends[3].at("body.0.weight")));
}

TEST_CASE("a sweep that ends in NaN leaves nothing behind in callbacks") {
  Bench bench;
  thaw::Learner learner(bench.net, thaw::LayerGroups::cut_before(bench.net, {"head"}), thaw::cross_entropy,
                        {.train = bench.data(10), .callbacks = {thaw::NaNGuard{.patience = 1}}});
  (void)learner.find_lr({.end_lr = 1e30, .stop_early = false});
  CHECK(learner.fit({.epochs = 2}).stop.empty());
  CHECK(learner.history().steps_done == 8);
}

TEST_CASE("a callback's results are had by a shared pointer to it") {
  struct Counts {
    int steps = 0;
    double momentum = 0;
    void on_step_end(const thaw::StepEnd& event) { ++steps, momentum = event.momentum.value_or(-1); }
  };
  const auto counts = std::make_shared<Counts>();
  Bench bench({.sgd = false});
  bench.learner->fit({.schedule = [](double) { return thaw::ScheduleValue(1, 0.7); }}, counts);
  CHECK(counts->steps == 5);
  CHECK(counts->momentum == 0.7);
  refused([&] { bench.learner->fit({}, std::shared_ptr<Counts>()); }, "null pointer");
}

TEST_CASE("a metric looks at one of several outputs, by name or place") {
  const thaw::Fields outputs = std::map<std::string, at::Tensor>{{"box", at::randn({4, 2})}, {"logits", at::eye(4)}};
  const thaw::Fields targets =
      std::map<std::string, at::Tensor>{{"box", at::randn({4, 2})}, {"label", at::arange(4, at::kLong)}};
  const auto value = [](const thaw::Metric& metric, const thaw::Fields& output, const thaw::Fields& target) {
    return metric.value(metric.observe(output, target)).item<double>();
  };
  CHECK(value(thaw::on("logits", "label", thaw::accuracy()), outputs, targets) == 1);
  CHECK(value(thaw::on(1, 1, thaw::accuracy()), outputs, targets) == 1);
  CHECK(value(thaw::on("logits", thaw::accuracy()), outputs, at::arange(4, at::kLong)) == 1);
  CHECK_THROWS_AS(value(thaw::on("logit", "label", thaw::accuracy()), outputs, targets), thaw::DataError);
  CHECK_THROWS_AS(value(thaw::on(2, "label", thaw::accuracy()), outputs, targets), thaw::DataError);
  CHECK(thaw::on("logits", thaw::accuracy()).name == "accuracy");
}

// ---- ignored and weighted targets ----

TEST_CASE("batches count in a validation loss by what counts in them") {
  at::manual_seed(2);
  const at::Tensor logits = at::randn({6, 3}, at::kDouble);
  at::Tensor target = at::arange(6, at::kLong) % 3;
  target.index_put_({at::arange(3, at::kLong)}, 255);  // of the first two batches one target, of the third both
  target.index_put_({at::arange(1, at::kLong)}, 1);
  const auto loss = GENERATE(thaw::CrossEntropy{.ignore_index = 255},
                             thaw::CrossEntropy{.weight = at::arange(1, 4, at::kDouble), .ignore_index = 255});
  torch::nn::Sequential net{torch::nn::Linear(torch::nn::LinearOptions(3, 3))};
  net->to(at::kDouble);
  const auto whole = [&](std::int64_t batch_size) {
    const thaw::InMemory data({.input = logits, .target = target, .batch_size = batch_size});
    thaw::Learner learner(net, thaw::LayerGroups::cut_at(net, {}), loss, {.train = data, .valid = data});
    return learner.validate().loss;
  };
  for (const std::int64_t batch_size : {1, 2, 4}) {
    CAPTURE(batch_size);
    CHECK_THAT(whole(batch_size), Catch::Matchers::WithinRel(whole(6), 1e-14));
  }
}

TEST_CASE("a batch in which nothing counts adds nothing: no loss, and no gradient") {
  at::Tensor output = at::randn({2, 3, 4, 4}).requires_grad_();
  const at::Tensor nothing = at::full({2, 4, 4}, 255, at::TensorOptions(at::kLong));
  using Loss = std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>;
  for (const Loss& loss : {Loss(thaw::CrossEntropy{.ignore_index = 255}), Loss(thaw::DiceCrossEntropy{}),
                           Loss(thaw::CrossEntropy{.weight = at::arange(3, at::kFloat), .ignore_index = 255})}) {
    output.mutable_grad() = at::Tensor();
    const at::Tensor value = loss(output, nothing);
    CHECK(value.item<double>() == 0);
    value.backward();
    CHECK(output.grad().abs().max().item<double>() == 0);
  }
  at::Tensor some = nothing.clone();
  some.index_put_({at::arange(1, at::kLong), at::arange(1, at::kLong), at::arange(3, 4, at::kLong)}, 1);
  CHECK(thaw::CrossEntropy{.ignore_index = 255}(output, some).item<double>() ==
        at::cross_entropy_loss(output, some, {}, at::Reduction::Mean, 255).item<double>());
}
