// SPDX-License-Identifier: BSD-3-Clause
// What goes silently wrong elsewhere, and is refused, put right or made plain here: losses that are no means, batches
// without samples, flags that callbacks change, calls at the wrong time.

#include <thaw/train/learner.hpp>

#include <c10/core/InferenceMode.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/loss.h>

#include <ATen/ops/binary_cross_entropy_with_logits.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <thaw/groups/freeze.hpp>
#include <thaw/groups/lr_scheduler.hpp>
#include <thaw/train/early_stop.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/mixup.hpp>
#include <thaw/train/reduce_on_plateau.hpp>
#include <thaw/train/weight_average.hpp>
#include <vector>

#include "support/bench.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::test::Bench;
using thaw::test::changed;
using thaw::test::state_of;

namespace {

using LossFunction = std::function<at::Tensor(const at::Tensor&, const at::Tensor&)>;

template <class E = thaw::ConfigError>
void refused(const std::function<void()>& call, const std::string& why) {
  CHECK_THROWS_MATCHES(call(), E, MessageMatches(ContainsSubstring(why)));
}

struct OnStep {
  std::function<void(const thaw::StepEnd&)> call;
  void on_step_end(const thaw::StepEnd& event) { call(event); }
};

torch::nn::Sequential linear(std::int64_t outputs) {
  at::manual_seed(3);
  return torch::nn::Sequential{torch::nn::Linear(4, outputs)};
}

/// One epoch of a linear model on 40 samples, with validation.
template <class Loss>
thaw::EpochRecord fit_linear(const Loss& loss, const at::Tensor& target, std::int64_t outputs = 1,
                             const std::vector<thaw::Metric>& metrics = {}) {
  const torch::nn::Sequential net = linear(outputs);
  const thaw::InMemory data({.input = at::randn({target.size(0), 4}), .target = target, .batch_size = 8});
  thaw::Learner learner(net, thaw::LayerGroups::cut_at(net, {}), loss,
                        {.train = data, .valid = data, .metrics = metrics});
  return learner.fit({});
}

}  // namespace

TEST_CASE("a loss of one's own that compares every output with every target is refused before training") {
  const LossFunction squares = [](const auto& o, const auto& t) { return (o - t).square().mean(); };
  const at::Tensor column = at::randn({40, 1}), row = column.squeeze(1);
  refused<thaw::DataError>([&] { fit_linear(squares, row); },
                           "of an output of [8, 1] and targets of [8] it compares every pair");
  refused<thaw::DataError>([&] { fit_linear(torch::nn::MSELoss(), row); }, "LibTorch broadcasts them");
  refused<thaw::DataError>([&] { fit_linear(torch::nn::SmoothL1Loss(), row); }, "LibTorch broadcasts them");
  const LossFunction of_row = [&](const auto& o, const auto& t) { return squares(o.squeeze(1), t); };
  refused<thaw::DataError>([&] { fit_linear(of_row, column); }, "targets of [8, 1] it compares every pair");
  // One that brings them into one shape itself is right.
  CHECK(fit_linear(squares, column).epoch == 1);
  CHECK(fit_linear(of_row, row).epoch == 1);
  CHECK(fit_linear(LossFunction([&](const auto& o, const auto& t) { return squares(o, t.unsqueeze(1)); }), row).epoch ==
        1);

  const thaw::Metric mae =
      thaw::mean_metric("off", [](const auto& o, const auto& t) { return (o - t).abs().mean(); });
  refused<thaw::DataError>([&] { fit_linear(of_row, row, 1, {mae}); }, "metric \"off\": of an output of [8, 1]");
}

TEST_CASE("a loss of one's own that is a sum over samples is refused before training") {
  const at::Tensor target = at::randn({40, 1});
  refused([&] { fit_linear(LossFunction([](auto& o, auto& t) { return (o - t).square().sum(); }), target); },
          "it is the sum over a batch's samples");
  CHECK(fit_linear(LossFunction([](auto& o, auto& t) { return (o - t).square().sum() / o.size(0); }), target).epoch ==
        1);
  using Reduction = torch::nn::KLDivLossOptions;  // batchmean is a mean over samples, too
  CHECK(fit_linear(torch::nn::KLDivLoss(Reduction().reduction(torch::kBatchMean)), at::ones({40, 1})).epoch == 1);
}

TEST_CASE("LibTorch's losses that ignore targets add nothing for a batch in which nothing counts") {
  torch::nn::Sequential net = linear(3);
  at::Tensor target = at::arange(6, at::kLong) % 3;
  target.slice(0, 2, 5).fill_(-100);  // the second of three batches, and half of the third
  const at::Tensor input = at::randn({6, 4});
  const auto whole = [&](auto loss, std::int64_t batch_size) {
    const thaw::InMemory data({.input = input, .target = target, .batch_size = batch_size});
    thaw::Learner learner(net, thaw::LayerGroups::cut_at(net, {}), loss, {.train = data, .valid = data});
    const double before = learner.validate().loss;
    CHECK(std::isfinite(learner.fit({.lr = 0}).train_loss));
    return before;
  };
  const double expected = at::cross_entropy_loss(net->forward(input), target).item<double>();
  CHECK_THAT(whole(torch::nn::CrossEntropyLoss(), 2), Catch::Matchers::WithinRel(expected, 1e-6));
  CHECK_THAT(whole(torch::nn::functional::cross_entropy, 2), Catch::Matchers::WithinRel(expected, 1e-6));
  CHECK_THAT(whole(torch::nn::NLLLoss(), 2), Catch::Matchers::WithinRel(whole(torch::nn::NLLLoss(), 6), 1e-6));
}

TEST_CASE("targets that are no numbers or no probabilities are refused before training") {
  at::Tensor numbers = at::randn({40, 1}), soft = at::full({40, 3}, 1. / 3);
  numbers[33][0] = NAN;
  refused<thaw::DataError>([&] { fit_linear(thaw::mse, numbers); }, "a target that is NaN or infinite");
  CHECK(fit_linear(thaw::cross_entropy, soft, 3).epoch == 1);
  soft[33][0] = GENERATE(static_cast<double>(NAN), -1., 5.);
  refused<thaw::DataError>([&] { fit_linear(thaw::cross_entropy, soft, 3); }, "cross_entropy: there is a target");
}

TEST_CASE("one logit: cross entropy, whose loss would be 0, is refused; accuracy takes it for two classes") {
  refused<thaw::DataError>([] { fit_linear(thaw::cross_entropy, at::zeros({40}, at::kLong)); },
                           "one class, of which the loss is always 0");
  const LossFunction loss = [](const auto& o, const auto& t) {
    return at::binary_cross_entropy_with_logits(o.squeeze(1), t);
  };
  const double right = fit_linear(loss, at::zeros({40}), 1, {thaw::accuracy()}).valid->metrics[0].value;
  CHECK(right + fit_linear(loss, at::ones({40}), 1, {thaw::accuracy()}).valid->metrics[0].value < 2);
  const at::Tensor logits = at::ones({4, 1}), ones = at::ones({4}, at::kLong);
  CHECK(thaw::accuracy().value(thaw::accuracy().observe(logits, ones)).item<double>() == 1);
}

TEST_CASE("a batch without samples is refused: it would end the epoch") {
  Bench bench;
  const auto with_empty = [&](std::int64_t at, bool norm) {
    const Bench other({.norm = norm});
    std::vector<thaw::Batch> batches;
    for (std::int64_t i = 0; i < 5; ++i)
      batches.push_back({other.input.slice(0, 0, i == at ? 0 : 8), other.target.slice(0, 0, i == at ? 0 : 8)});
    thaw::Learner learner(other.net, thaw::LayerGroups::cut_before(other.net, {"head"}), thaw::cross_entropy,
                          {.train = batches});
    const auto before = state_of(*other.net);
    const std::string why = "training data: a batch has no samples";
    refused<thaw::DataError>([&] { learner.fit({}); }, why);
    refused<thaw::DataError>([&] { learner.fit({}, thaw::GradientAccumulation{2}); }, why);
    refused<thaw::DataError>([&] { (void)learner.find_lr(); }, why);
    CHECK(changed(before, *other.net).empty());
  };
  with_empty(0, false);
  with_empty(2, false);
  with_empty(2, true);
}

TEST_CASE("batches that do not fit are named wherever they come: predict, validate, the second of an epoch") {
  Bench bench;
  const at::Tensor narrow = at::ones({2, 7}, at::kDouble), floats = at::ones({2, 4});
  const at::Tensor right = at::ones({2, 4}, at::kDouble), label = at::zeros({2}, at::kLong);
  thaw::Learner& learner = *bench.learner;
  const auto validate = [&](const at::Tensor& input, const at::Tensor& target) {
    return [&, input, target] { (void)learner.validate(std::vector<thaw::Batch>{{input, target}}); };
  };
  refused<thaw::DataError>([&] { (void)learner.predict(narrow); }, "Learner::predict: the model cannot take an input");
  refused<thaw::DataError>([&] { (void)learner.predict(floats); }, "its parameter stem.0.weight is Double");
  refused<thaw::DataError>(validate(narrow, label), "validation data: the model cannot take an input");
  refused<thaw::DataError>(validate(right, label + 9), "there is a label 9");
  const std::vector<thaw::Batch> two{{right, label}, {narrow, label}}, out{{right, label}, {right, label + 9}};
  learner.data({.train = two});
  refused<thaw::DataError>([&] { learner.fit({}); }, "training data: the model cannot take an input of Double [2, 7]");
  learner.data({.train = bench.data(8), .valid = two});
  refused<thaw::DataError>([&] { learner.fit({}); }, "validation data: the model cannot take an input");
  learner.data({.train = bench.data(8), .valid = out});
  refused<thaw::DataError>([&] { learner.fit({}); }, "there is a label 9");
}

TEST_CASE("where gradients are switched off, fit and find_lr say so") {
  Bench bench;
  const auto both = [&] {
    refused([&] { bench.learner->fit({}); }, "gradients are switched off here");
    refused([&] { (void)bench.learner->find_lr(); }, "gradients are switched off here");
  };
  {
    const c10::NoGradGuard no_grad;
    both();
  }
  const c10::InferenceMode inference;
  both();
}

TEST_CASE("a callback that calls the module's train() or eval() changes nothing of how the epoch trains") {
  Bench plain({.norm = true}), woken({.norm = true}), off({.norm = true});
  const auto fit = [](Bench& bench, const std::function<void()>& call) {
    bench.learner->fit({.epochs = 2, .freeze = thaw::FreezeTo{-1}}, OnStep{[&](const auto&) { call(); }});
    bench.learner->fit({.epochs = 2, .freeze = thaw::Unfrozen{}}, OnStep{[&](const auto&) { call(); }});
  };
  fit(plain, [] {});
  fit(woken, [&] { woken.net->eval(), woken.net->train(); });
  fit(off, [&] { off.net->eval(); });
  CHECK(changed(state_of(*plain.net), *woken.net).empty());
  CHECK(changed(state_of(*plain.net), *off.net).empty());
}

TEST_CASE("flags that somebody else changes while a stage runs are an error before the next step") {
  Bench bench;
  thaw::Learner& learner = *bench.learner;
  thaw::Learner other(bench.net, thaw::LayerGroups::cut_before(bench.net, {"head"}), thaw::cross_entropy,
                      {.train = bench.data(8)});
  const auto at_second = [&](const thaw::Stage& stage, const std::function<void()>& call) {
    return [&, stage, call] {
      learner.fit(stage, OnStep{[&](const auto& event) {
        if (event.step == 2) call();
      }});
    };
  };
  const auto flag = [&](const at::Tensor& tensor, bool on) {
    return [&, tensor, on] { (void)at::Tensor(tensor).requires_grad_(on); };
  };
  const thaw::Stage head{.freeze = thaw::FreezeTo{-1}}, all{.freeze = thaw::Unfrozen{}};
  const auto before = state_of(*bench.net);
  refused(at_second(head, flag(bench.net->stem->parameters()[0], true)), "\"stem.0.weight\" was set to true");
  refused(at_second(head, [&] { other.fit({}); }), "by a callback or another Learner");
  CHECK_FALSE(changed(before, *bench.net).empty());
  refused(at_second(all, flag(bench.net->head->weight, false)), "\"head.weight\" was set to false");
  thaw::LayerGroups copy = learner.groups();
  refused(at_second(all, [&] { (void)thaw::apply(thaw::FreezeTo{-1}, copy); }), "was set to false");
  refused(at_second(all, [&] { learner.freeze(); }), "which its own policy would undo");
  learner.unfreeze();
  at_second({}, [&] { learner.freeze(); })();  // without a policy it is how one freezes
  CHECK(learner.history().steps.back().lr[0] == 0);
}

TEST_CASE("two callbacks that average weights, or that mix samples, are refused") {
  Bench bench;
  refused([&] { bench.learner->fit({}, thaw::EMA{}, thaw::EMA{}); }, "EMA, EMA each swap the model's weights");
  refused([&] { bench.learner->fit({}, thaw::MixUp{}, thaw::CutMix{}); }, "MixUp, CutMix each mix the samples");
}

TEST_CASE("calls at a time when nothing would come of them are refused") {
  struct AtBegin {
    std::function<void(thaw::Learner&)> planned = {}, begun = {};
    void on_stage_planned(const thaw::StagePlanned& event) {
      if (planned) planned(event.learner);
    }
    void on_fit_begin(const thaw::FitBegin& event) {
      if (begun) begun(event.learner);
    }
  };
  Bench bench;
  thaw::Learner& learner = *bench.learner;
  const std::function<void(thaw::Learner&)> stop = [](thaw::Learner& l) { l.stop("no"); };
  refused([&] { learner.fit({}, AtBegin{.planned = stop}); }, "Learner::stop: no stage runs");
  refused([&] { learner.fit({}, AtBegin{.begun = stop}); }, "Learner::stop: no stage runs");
  refused([&] { learner.stop("no"); }, "no stage runs");
  refused([&] { learner.skip_step(); }, "no stage runs");
  refused([&] { learner.fit({}, OnStep{[](const auto& event) { (void)event.learner.run_state(); }}); },
          "Learner::run_state: a callback asks for it within a step");
  learner.freeze();
  refused([&] { learner.fit({}, OnStep{[](const auto& event) { event.learner.fit_until_overfit(); }}); },
          "Learner::fit_until_overfit: a callback calls it");
  CHECK(learner.groups().frozen()[0]);
  CHECK(learner.fit({.epochs = 3}, OnStep{[](const auto& event) { event.learner.stop(""); }}).stop ==
        "a callback ended it");
  (void)learner.run_state();
}

TEST_CASE("rates, momenta and decays that no optimizer can take are refused whenever they come") {
  Bench bench;
  thaw::Learner& learner = *bench.learner;
  const double factor = GENERATE(static_cast<double>(NAN), -1., static_cast<double>(INFINITY));
  refused([&] { learner.fit({}, OnStep{[&](const auto& event) { event.learner.scale_lr(factor); }}); },
          "Learner::scale_lr: a factor of");
  const auto odd = std::make_shared<bool>(false);  // found good when it was planned
  refused(
      [&] {
        learner.fit({.schedule = [odd, factor](double) { return *odd ? factor : 1.0; }},
                    OnStep{[odd](const auto&) { *odd = true; }});
      },
      "its schedule gives a rate multiplier of");
  const thaw::OptimizerGroups live(learner.optimizer(), learner.groups());
  const std::vector<double> peak(3, 0.1);
  refused([&] { live.set(factor, peak); }, "a rate multiplier of");
  refused([&] { live.set_momentum(factor); }, "a momentum of");
  refused([&] { live.set_weight_decay(0, factor); }, "a weight decay of");
  refused([&] { thaw::ScheduledLR(learner.optimizer(), [&](double t) { return t < 0.5 ? 1.0 : factor; }, 10); },
          "ScheduledLR: its schedule gives a rate multiplier of");
  refused([&] { learner.fit({}, thaw::ReduceOnPlateau{.min_scale = factor == -1. ? 2 : factor}); }, "min_scale is");
}

TEST_CASE("a plan whose rates are 0 throughout is noted, whether the schedule says so or the peaks") {
  Bench bench;
  const auto notes = [&](const thaw::Stage& stage) { return bench.learner->describe({stage}).at(0).notes.size(); };
  CHECK(notes({.lr = 0}) == 1);
  CHECK(notes({.lr = 0.1}) == 0);
  const auto body_alone = [](std::size_t) { return std::vector{0.1, 0.1, 0.0}; };
  CHECK(notes({.freeze = thaw::FreezeTo{-1}, .lr = body_alone}) == 1);
}

TEST_CASE("a number that two metrics are called, or whose name turns a word round, is not watched by guess") {
  const auto watch = [](const std::string& first, const std::string& second, const std::string& watched) {
    const auto one = [](const at::Tensor& output, const at::Tensor&) { return output.sum() * 0 + 1; };
    Bench bench;
    thaw::Learner learner(bench.net, thaw::LayerGroups::cut_before(bench.net, {}), thaw::cross_entropy,
                          {.train = bench.data(8),
                           .valid = bench.data(8),
                           .metrics = {thaw::mean_metric(first, one, thaw::Better::higher),
                                       thaw::mean_metric(second, one)}});
    learner.fit({}, thaw::EarlyStop{watched});
  };
  refused([&] { watch("acc", "acc", "acc"); }, "more than one number is called \"acc\"");
  refused([&] { watch("valid_loss", "b", "valid_loss"); }, "more than one number is called");
  const std::string name = GENERATE("neg_mean_squared_error", "indices", "inaccuracy", "accuracy_gap", "lossless");
  refused([&] { watch("a", name, name); }, "nothing says whether");
  watch("a", "word_error", "word_error");
}

TEST_CASE("a min_delta that is no distance is refused") {
  for (const double delta : {-1., static_cast<double>(NAN), static_cast<double>(INFINITY)})
    refused([&] { Bench().learner->fit({}, thaw::EarlyStop{{"valid_loss", thaw::Better::lower, delta}}); },
            "min_delta is");
}

TEST_CASE("targets that the default loss ignores do not count in accuracy and top_k") {
  const at::Tensor output = at::eye(4), target = at::arange(4, at::kLong);
  at::Tensor half = target.clone();
  half.slice(0, 0, 2).fill_(-100);
  for (const thaw::Metric& metric : {thaw::accuracy(), thaw::top_k(2)})
    CHECK(metric.value(metric.observe(output, half)).item<double>() == 1);
}

TEST_CASE("one target for a whole batch is refused: it would be broadcast") {
  const torch::nn::Sequential net = linear(1);
  const LossFunction squares = [](const auto& o, const auto& t) { return (o - t).square().mean(); };
  thaw::Learner learner(net, thaw::LayerGroups::cut_at(net, {}), squares,
                        {.train = std::vector<thaw::Batch>{{at::ones({8, 4}), at::ones({1, 1})}}});
  refused<thaw::DataError>([&] { learner.fit({}); }, "a batch has 8 samples and 1 target");
}

TEST_CASE("a callback that leaves no samples or no single loss is told so") {
  struct Empties {
    void on_batch_ready(const thaw::BatchReady& event) const {
      event.batch.input = event.batch.input.map([](const at::Tensor& tensor) { return tensor.slice(0, 0, 0); });
    }
  };
  struct Lengthens {
    void on_loss_ready(const thaw::LossReady& event) const { event.loss = event.output[0]; }
  };
  Bench bench;
  refused<thaw::DataError>([&] { bench.learner->fit({}, Empties{}); }, "a callback's on_batch_ready: a batch has no");
  refused([&] { bench.learner->fit({}, Lengthens{}); }, "it leaves a loss of Double [8, 3]");
}

TEST_CASE("a stage that ends before its first epoch has no loss: not 0") {
  struct AtOnce {
    void on_stage_begin(const thaw::StageBegin& event) const { event.learner.stop("out of time"); }
  };
  CHECK(std::isnan(Bench().learner->fit({.epochs = 2}, AtOnce{}).train_loss));
}
