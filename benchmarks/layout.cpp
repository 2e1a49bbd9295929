// SPDX-License-Identifier: BSD-3-Clause
// What a training step gains by its layout in memory and, where the CPU has the instructions, by bfloat16: the Learner
// with LearnerOptions::layout and ::precision against itself as LibTorch does it by default.
//
//   cmake --preset bench && cmake --build --preset bench && build/bench/benchmarks/layout

#include "bench.hpp"

#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>

#include <thaw/models/efficientnet_lite.hpp>
#include <thaw/models/heads.hpp>
#include <thaw/models/resnet.hpp>
#include <thaw/thaw.hpp>

namespace {

constexpr std::int64_t batch_size = 32;

/// A function that trains one step each time it is called.
template <class Model>
std::function<void()> steps(Model model, std::int64_t pixels, const thaw::Stage& stage, thaw::LearnerOptions options) {
  options.train = thaw::InMemory({.input = at::randn({batch_size, 3, pixels, pixels}),
                                  .target = at::randint(10, {batch_size}, at::kLong),
                                  .batch_size = batch_size});
  auto groups = thaw::LayerGroups::cut_before(model, {"head"});
  auto learner = std::make_shared<thaw::Learner>(model, std::move(groups), thaw::cross_entropy, std::move(options));
  return [learner, stage] { (void)learner->fit(stage); };
}

template <class Make>
void compare(const std::string& name, Make make, std::int64_t pixels, int rounds, bench::Report& report) {
  for (const bool frozen : {true, false}) {
    thaw::Stage stage{.freeze = thaw::Unfrozen{}};
    if (frozen) stage.freeze = thaw::FreezeTo{-1};
    std::vector<std::function<void()>> sides{steps(make(), pixels, stage, {.layout = thaw::Layout::contiguous}),
                                             steps(make(), pixels, stage, {})};
    if (thaw::cpu_computes_in(thaw::Precision::bfloat16))
      sides.push_back(steps(make(), pixels, stage,
                            {.layout = thaw::Layout::channels_last, .precision = thaw::Precision::bfloat16}));
    const auto s = bench::interleaved(rounds, sides);
    const std::string step = fmt::format("a step of {} at {} px, {}", name, pixels, frozen ? "body frozen" : "thawed");
    report.add(step + ": layout by default", s[1], s[0], "s", bench::Target::at_least, 1);
    if (sides.size() > 2) report.add(step + ": bfloat16, channels-last", s[2], s[0], "s", bench::Target::at_least, 1);
  }
}

template <class Model>
Model with_head(Model model) {
  thaw::models::replace_head(model, 10);
  return model;
}

}  // namespace

int main(int count, char** words) {
  const bench::Arguments arguments(count, words);
  const int rounds = arguments.quick ? 1 : 4;
  bench::Report report;
  compare("efficientnet_lite0", [] { return with_head(thaw::models::efficientnet_lite0()); }, 96, 2 * rounds, report);
  compare("resnet34", [] { return with_head(thaw::models::resnet34()); }, 128, rounds, report);
  report.finish(arguments);
}
