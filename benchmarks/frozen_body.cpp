// SPDX-License-Identifier: BSD-3-Clause
// A head trained on a frozen, held body: resnet34 at 128 pixels, batches of 32. Against the loop a LibTorch user writes
// by hand, which runs the body in every step: thaw's cached features; and the frozen forward, plain against compiled.
//
//   cmake --preset bench && cmake --build --preset bench && build/bench/benchmarks/frozen_body

#include "bench.hpp"

#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <torch/nn/functional/loss.h>
#include <torch/optim/adamw.h>

#include <thaw/models/heads.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/thaw.hpp>
#include <thaw/train/compiled_prefix.hpp>

namespace {

constexpr std::int64_t batch_size = 32, pixels = 128, epochs = 10;

thaw::models::ResNet with_new_head() {
  thaw::models::ResNet model = thaw::models::resnet34();
  thaw::models::replace_head(model, thaw::models::linear_head(512, 10, 0));
  return model;
}

struct Setup {
  explicit Setup(std::int64_t samples)
      : input(at::randn({samples, 3, pixels, pixels})), target(at::randint(10, {samples}, at::kLong)) {}
  [[nodiscard]] thaw::InMemory data() const {
    return thaw::InMemory({.input = input, .target = target, .batch_size = batch_size});
  }

  at::Tensor input, target;
  thaw::models::ResNet model = with_new_head();
  thaw::LayerGroups groups = thaw::LayerGroups::cut_before(model, {"head"});
};

/// The loop by hand; one epoch.
void by_hand(Setup& s, torch::optim::Optimizer& optimizer) {
  s.model->train();
  for (const auto& module : s.model->modules())
    if (auto* norm = module->as<torch::nn::BatchNorm2d>()) norm->eval();
  for (std::int64_t i = 0; i < s.input.size(0); i += batch_size) {
    const at::Tensor output = s.model(s.input.slice(0, i, i + batch_size));
    optimizer.zero_grad();
    torch::nn::functional::cross_entropy(output, s.target.slice(0, i, i + batch_size)).backward();
    optimizer.step();
  }
}

}  // namespace

int main(int count, char** words) {
  const bench::Arguments arguments(count, words);
  bench::Report report;
  const std::int64_t samples = arguments.quick ? 64 : 256;
  Setup ours(samples), hand(samples);
  thaw::apply(thaw::FreezeTo{-1}, hand.groups);
  torch::optim::AdamW optimizer(hand.model->head->parameters());
  thaw::Learner learner{ours.model, ours.groups, thaw::cross_entropy, {.train = ours.data()}};
  std::vector<double> ends;
  struct Ends {
    std::vector<double>* seconds;
    void on_epoch_end(const thaw::EpochEnd& event) const { seconds->push_back(event.record.seconds); }
  };
  const auto cached = [&] {
    ends.clear();
    learner.fit({.epochs = epochs, .freeze = thaw::FreezeTo{-1}, .cache = thaw::Cache::memory}, Ends{&ends});
  };
  const double hand_epoch = bench::interleaved(2, {[&] { by_hand(hand, optimizer); }})[0];
  const double total = bench::interleaved(arguments.quick ? 1 : 2, {cached})[0];
  ends.erase(ends.begin());
  report.add("head stage of 10 epochs, features cached, by hand", total, epochs * hand_epoch, "s",
             bench::Target::at_least, 8);
  report.add("each epoch after the first", bench::median(ends), hand_epoch, "s", bench::Target::at_least, 50);

  const c10::NoGradGuard no_grad;
  hand.groups.train();
  const at::Tensor images = hand.input.slice(0, 0, batch_size);
  const thaw::FrozenSplit split = thaw::split_frozen(hand.model, hand.groups, images);
  thaw::CompiledPrefix compiled{split};
  const auto s = bench::interleaved(arguments.quick ? 5 : 7,
                                    {[&] { (void)compiled(images); }, [&] { (void)split.features(images); }});
  report.add("frozen forward, compiled, against plain", s[0], s[1], "s", bench::Target::at_least, 1.3);
  report.finish(arguments);
}
