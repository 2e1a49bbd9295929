// SPDX-License-Identifier: BSD-3-Clause
// The same runs on the device and on the CPU: they must not differ.
#include <thaw/train/learner.hpp>

#include <ATen/ops/rand.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <functional>
#include <stdexcept>
#include <thaw/checkpoint/checkpoint.hpp>
#include <thaw/checkpoint/resume.hpp>
#include <thaw/data/prefetch.hpp>
#include <thaw/groups/freeze_combine.hpp>
#include <thaw/train/compiled_prefix.hpp>
#include <thaw/train/early_stop.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/gradient_clip.hpp>
#include <thaw/train/metric_auroc.hpp>
#include <thaw/train/metric_f_beta.hpp>
#include <thaw/train/mixup.hpp>
#include <thaw/train/nan_guard.hpp>
#include <thaw/train/reduce_on_plateau.hpp>
#include <thaw/train/save_best.hpp>
#include <thaw/train/test_time_augmentation.hpp>
#include <thaw/train/weight_average.hpp>

#include "device/bench.hpp"
#include "support/folder.hpp"

using thaw::DiscriminativeLR;
using thaw::FreezeTo;
using thaw::Learner;
using thaw::Stage;
using thaw::Unfrozen;
using thaw::test::Bench;
using thaw::test::check_near;
using thaw::test::Folder;
using thaw::test::is_simulated;
using thaw::test::near;
using thaw::test::Pictures;
using thaw::test::pictures;
using thaw::test::same_weights;
using thaw::test::small_network;
using thaw::test::test_device;
namespace accelerator = thaw::test::accelerator;

namespace {

const std::vector<Stage> thawing{
    {.name = "head", .epochs = 1, .freeze = FreezeTo{-1}, .lr = 1e-2},
    {.name = "body", .epochs = 1, .freeze = FreezeTo{-2}, .lr = DiscriminativeLR::slice(1e-4, 1e-2)},
    {.name = "all", .epochs = 2, .freeze = Unfrozen{}, .lr = DiscriminativeLR::slice(1e-4, 1e-2)}};

/// Does the same on both.
template <class Run>
void check_same_run(Run run) {
  Bench here(at::kCPU), there(test_device());
  run(here.learner), run(there.learner);
  check_near(there.learner, here.learner);
}

/// Ends a run at a step.
struct EndAt {
  std::int64_t step;
  void on_step_end(const thaw::StepEnd& event) const {
    if (event.step == step) throw std::runtime_error("the user's own");
  }
};

/// From the first step of an epoch to its last, nothing waits for the device.
struct NoSyncInEpoch {
  std::shared_ptr<std::optional<accelerator::NoSync>> refused = std::make_shared<std::optional<accelerator::NoSync>>();
  std::shared_ptr<std::int64_t> steps = std::make_shared<std::int64_t>(0);
  void on_step_end(const thaw::StepEnd& event) const {
    ++*steps;
    if (event.step == 1) refused->emplace();
    if (event.step == event.steps) refused->reset();
  }
};

}  // namespace

TEST_CASE("a plan in stages ends on the device where it ends on the CPU") {
  const auto options = [] {
    return thaw::LearnerOptions{.metrics = {thaw::accuracy(), thaw::auroc(), thaw::f_beta()}};
  };
  Bench here(at::kCPU, options()), there(test_device(), options());
  for (Bench* bench : {&here, &there})
    bench->learner.fit(thawing, thaw::GradientClip{.norm = 0.1}, thaw::GradientAccumulation{2});
  check_near(there.learner, here.learner);
}

TEST_CASE("callbacks that reach into a step do the same on the device") {
  const Stage stage{.epochs = 3, .freeze = Unfrozen{}, .lr = 1e-2};
  SECTION("EMA") {
    check_same_run([&](Learner& learner) { learner.fit(stage, thaw::EMA{}); });
  }
  SECTION("SWA") {
    check_same_run([&](Learner& learner) { learner.fit(stage, thaw::SWA{.start = 0.3}); });
  }
  SECTION("MixUp") {
    check_same_run([&](Learner& learner) { learner.fit(stage, (at::manual_seed(3), thaw::MixUp{})); });
  }
  SECTION("CutMix") {
    check_same_run([&](Learner& learner) { learner.fit(stage, (at::manual_seed(3), thaw::CutMix{})); });
  }
  SECTION("NaNGuard") {
    check_same_run(
        [&](Learner& learner) { learner.fit(stage, thaw::NaNGuard{.then = thaw::OnNaN::roll_back, .every = 2}); });
  }
  SECTION("clipping by value") {
    check_same_run([&](Learner& learner) { learner.fit(stage, thaw::GradientClip{.value = 0.01}); });
  }
  SECTION("SaveBest, ReduceOnPlateau and EarlyStop") {
    const Folder folder;
    check_same_run([&](Learner& learner) {
      learner.fit(stage, thaw::SaveBest{.path = folder / "best"}, thaw::ReduceOnPlateau{}, thaw::EarlyStop{});
    });
  }
}

TEST_CASE("the LR finder sees on the device what it sees on the CPU, and leaves nothing changed") {
  Bench here(at::kCPU), there(test_device());
  const auto before = small_network();
  const thaw::LRCurve expected = here.learner.find_lr(), found = there.learner.find_lr();
  REQUIRE(found.loss.size() == expected.loss.size());
  for (std::size_t i = 0; i < found.loss.size() && expected.loss[i] < 10; ++i)
    CHECK(near(found.loss[i], expected.loss[i], 1e6));
  CHECK(same_weights(*there.net, *before));
}

TEST_CASE("a stage whose frozen part is kept trains as one whose is not, on the device too") {
  const bool data_on_device = GENERATE(false, true);
  const thaw::Cache cache = GENERATE(thaw::Cache::memory, thaw::Cache::disk);
  CAPTURE(data_on_device);
  const Stage stage{.epochs = 2, .freeze = FreezeTo{-1}, .lr = 1e-2, .cache = cache};
  Bench here(at::kCPU);
  here.learner.fit(stage);
  const at::Device home = data_on_device ? test_device() : at::kCPU;
  Bench there(test_device(), {.train = pictures({.device = home}),
                              .valid = pictures({.samples = 20, .seed = 2, .shuffle = false, .device = home})});
  there.learner.fit(stage);
  CHECK(there.learner.history().stages[0].frozen_part.starts_with("kept"));
  check_near(there.learner, here.learner);
}

TEST_CASE("a frozen part is compiled for the device") {
  const Stage stage{.epochs = 2, .freeze = FreezeTo{-1}, .lr = 1e-2};
  Bench here(at::kCPU), there(test_device(), {.frozen_prefix = thaw::CompiledPrefix::make});
  here.learner.fit(stage), there.learner.fit(stage);
  CHECK(there.learner.history().stages[0].frozen_part.starts_with("compiled"));
  check_near(there.learner, here.learner);
}

TEST_CASE("what a Learner gives comes from the device as it does from the CPU") {
  Bench here(at::kCPU), there(test_device());
  const thaw::InMemory source = pictures({.samples = 12, .seed = 3, .shuffle = false});
  const at::Tensor images = source.stream(0)()->input[0];
  CHECK(near(there.learner.predict(images), here.learner.predict(images)));
  CHECK(near(there.learner.predict(source), here.learner.predict(source)));
  CHECK(there.learner.predict(images).device() == test_device());
  check_near(there.learner.validate(), here.learner.validate());
  CHECK(near(thaw::predict_augmented(there.learner, source, source),
             thaw::predict_augmented(here.learner, source, source)));
  there.learner.update_norm_statistics(), here.learner.update_norm_statistics();
  check_near(there.learner, here.learner);
}

TEST_CASE("what was saved on a device is loaded on it, and on the CPU") {
  const Folder folder;
  Bench trained(test_device());
  trained.learner.fit({.epochs = 1, .lr = 1e-2});
  trained.learner.save(folder / "run");
  for (const at::Device device : {test_device(), at::Device(at::kCPU)}) {
    CAPTURE(device);
    Bench bench(device);
    bench.learner.load(folder / "run");
    CHECK(same_weights(*bench.net, *trained.net));
    CHECK(bench.net->parameters()[0].device() == device);
    bench.learner.fit({.epochs = 1, .lr = 1e-2});
  }
}

TEST_CASE("a run on the device goes on from a checkpoint bit for bit, dropout and all") {
  const Folder folder;
  const auto made = [] { return std::make_unique<Bench>(test_device(), thaw::LearnerOptions{}, small_network(0.3)); };
  const auto whole = made();
  at::manual_seed(5);
  whole->learner.fit(thawing);
  const std::int64_t at = GENERATE(3, 12);
  {
    const auto ended = made();
    at::manual_seed(5);
    CHECK_THROWS(
        ended->learner.fit(thawing, EndAt{at % 10}, thaw::Checkpoint{.dir = folder / "a", .every = {.steps = 1}}));
  }
  const auto resumed = made();
  at::manual_seed(99);
  REQUIRE(thaw::resume(resumed->learner, folder / "a"));
  resumed->learner.fit(thawing, thaw::Checkpoint{.dir = folder / "a", .every = {.steps = 1}});
  CHECK(same_weights(*resumed->net, *whole->net));
}

TEST_CASE("no step of an epoch waits for the device") {
  if (!is_simulated()) SKIP("of the simulated accelerator");
  thaw::CrossEntropy loss;
  const auto check = [&](thaw::DataSource train, auto... callbacks) {
    Bench bench(test_device(), {.train = std::move(train)}, small_network(), loss);
    const NoSyncInEpoch steps;
    bench.learner.fit({.epochs = 1, .freeze = Unfrozen{}, .lr = 1e-2}, steps, callbacks...);
    CHECK(*steps.steps == 5);
  };
  SECTION("data in the device's memory") {
    check(pictures({.device = test_device()}));
  }
  SECTION("data in the device's memory, not shuffled") {
    check(pictures({.shuffle = false, .device = test_device()}));
  }
  SECTION("class weights on the CPU") {
    loss.weight = at::rand({3}, at::kDouble);
    check(pictures({.device = test_device()}));
  }
  SECTION("label smoothing") {
    loss.label_smoothing = 0.1;
    check(pictures({.device = test_device()}));
  }
  SECTION("data that another thread pins") {
    check(thaw::Prefetch{pictures({})});
  }
  SECTION("clipping") {
    check(pictures({.device = test_device()}), thaw::GradientClip{.norm = 0.1});
  }
  SECTION("MixUp") {
    check(pictures({.device = test_device()}), thaw::MixUp{});
  }
  SECTION("CutMix") {
    check(pictures({.device = test_device()}), thaw::CutMix{});
  }
  SECTION("EMA") {
    check(pictures({.device = test_device()}), thaw::EMA{});
  }
}

TEST_CASE("data in the device's memory is not prefetched") {
  if (test_device().is_cpu()) SKIP("it is the CPU's");
  CHECK_THROWS_AS(thaw::Prefetch{pictures({.device = test_device()})}, thaw::ConfigError);
}

TEST_CASE("half precision is the device's own") {
  if (test_device().is_cpu()) SKIP("the CPU may have none");
  const auto precision = GENERATE(thaw::Precision::bfloat16, thaw::Precision::float16);
  CAPTURE(static_cast<int>(precision));
  const auto made = [&](thaw::Precision of) {
    auto net = small_network();
    net->to(at::kFloat);
    return std::make_unique<Bench>(test_device(),
                                   thaw::LearnerOptions{.train = pictures({.type = at::kFloat}),
                                                        .valid = pictures({.seed = 2, .type = at::kFloat}),
                                                        .precision = of},
                                   net);
  };
  const auto full = made(thaw::Precision::full), half = made(precision);
  const at::Tensor images = pictures({.type = at::kFloat}).stream(0)()->input[0];
  const at::Tensor exact = full->learner.predict(images), rounded = half->learner.predict(images);
  CHECK(rounded.scalar_type() == at::kFloat);
  CHECK_FALSE(rounded.equal(exact));
  CHECK(rounded.allclose(exact, 3e-2, 3e-2));
  half->learner.fit(thawing), full->learner.fit(thawing);
  for (const auto& parameter : half->net->parameters()) CHECK(parameter.scalar_type() == at::kFloat);
  const double found = half->learner.validate().loss, expected = full->learner.validate().loss;
  CHECK_THAT(found, Catch::Matchers::WithinRel(expected, 5e-2));
}
