// SPDX-License-Identifier: BSD-3-Clause
// A run that is resumed at any safe point ends, bit for bit, as one that was never interrupted.

#include <torch/data/dataloader.h>
#include <torch/data/datasets/map.h>
#include <torch/data/samplers/random.h>
#include <torch/data/transforms/stack.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>

#include <ATen/ops/full.h>
#include <ATen/ops/rand_like.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/util/ScopeExit.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <clocale>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thaw/data/in_memory.hpp>
#include <thaw/data/prefetch.hpp>
#include <thaw/groups/gradual_unfreeze.hpp>
#include <thaw/optim/adam.hpp>
#include <thaw/optim/sgd.hpp>
#include <thaw/train/compiled_prefix.hpp>
#include <thaw/train/early_stop.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/keep_best.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/metric.hpp>
#include <thaw/train/mixup.hpp>
#include <thaw/train/nan_guard.hpp>
#include <thaw/train/reduce_on_plateau.hpp>
#include <thaw/train/run_state.hpp>
#include <thaw/train/weight_average.hpp>
#include <vector>

#include "support/samples.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::Learner;
using thaw::RunState;
using thaw::test::Samples;

namespace {

/// A small network with all that is delicate: batch norm, dropout, three groups.
struct Net {
  torch::nn::Sequential module{torch::nn::Linear(6, 8), torch::nn::BatchNorm1d(8), torch::nn::Linear(8, 8),
                               torch::nn::Dropout(.3),  torch::nn::BatchNorm1d(8), torch::nn::Linear(8, 3)};
  thaw::LayerGroups groups = thaw::LayerGroups::cut_before(module, {"2", "5"});
};

at::Tensor numbers(std::int64_t n, std::uint64_t seed) {
  return at::randn({n, 6}, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}
at::Tensor classes(std::int64_t n, std::uint64_t seed) {
  return at::randint(0, 3, {n}, at::make_generator<at::CPUGeneratorImpl>(seed), at::kLong);
}
thaw::InMemory data(std::int64_t n, thaw::Transform transform = {}) {
  return thaw::InMemory({.input = numbers(n, 1),
                         .target = classes(n, 2),
                         .batch_size = 8,
                         .shuffle = true,
                         .seed = 5,
                         .transform = std::move(transform)});
}
thaw::InMemory valid_data() {
  return thaw::InMemory({.input = numbers(20, 3), .target = classes(20, 4), .batch_size = 8});
}

thaw::LearnerOptions options(thaw::DataSource train = data(36)) {
  return {.train = std::move(train), .valid = valid_data(), .metrics = {thaw::accuracy()}};
}

RunState copy(RunState state) {
  for (auto& [name, tensor] : state) tensor = tensor.clone();
  return state;
}

/// Takes the state of a run wherever that can be had.
struct Watch {
  std::vector<RunState>* states;
  void on_safe_point(const thaw::SafePoint& event) const { states->push_back(copy(event.learner.run_state())); }
};

/// Makes a Learner, lets `start` resume it, trains.
using Program = std::function<RunState(const std::function<void(Learner&)>& start, Watch watch)>;

/// Names of what differs, but for how long it took, and for archives: LibTorch writes an optimizer's states into them
/// in the order of their addresses. The weights after further steps tell whether those are right.
std::vector<std::string> differences(const RunState& a, const RunState& b) {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : a)
    if (!name.ends_with("seconds") && name != "optimizer/archive" &&
        (!b.contains(name) || b.at(name).scalar_type() != tensor.scalar_type() ||
         b.at(name).sizes() != tensor.sizes() ||
         (tensor.nbytes() != 0 && std::memcmp(tensor.contiguous().const_data_ptr(),
                                              b.at(name).contiguous().const_data_ptr(), tensor.nbytes()) != 0)))
      result.push_back(name);
  for (const auto& [name, tensor] : b)
    if (!a.contains(name)) result.push_back("+" + name);
  return result;
}

void check_every_point(const Program& program, std::size_t least) {
  std::vector<RunState> points;
  at::manual_seed(1);
  const RunState end = program([](Learner&) {}, {&points});
  REQUIRE(points.size() >= least);
  for (std::size_t i = 0; i < points.size(); ++i) {
    INFO("resumed at safe point " << i << " of " << points.size());
    std::vector<RunState> later;
    at::manual_seed(1000 + i);  // other weights, other random numbers: all must come from the state
    const RunState resumed = program([&](Learner& learner) { learner.resume(copy(points[i])); }, {&later});
    REQUIRE(differences(end, resumed) == std::vector<std::string>{});
    REQUIRE(later.size() == points.size() - i - 1);
    for (std::size_t j = 0; j < later.size(); ++j)
      REQUIRE(differences(points[i + 1 + j], later[j]) == std::vector<std::string>{});
  }
}

/// Options of another library's, of which thaw only knows what torch::optim::Optimizer says.
struct ForeignOptions : torch::optim::SGDOptions {
  using SGDOptions::SGDOptions;
  [[nodiscard]] std::unique_ptr<torch::optim::OptimizerOptions> clone() const override {
    return std::make_unique<ForeignOptions>(*this);
  }
};

std::vector<thaw::Stage> head_then_all() {
  return {{.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2},
          {.name = "all",
           .epochs = 2,
           .freeze = thaw::Unfrozen{},
           .lr = thaw::DiscriminativeLR::slice(1e-4, 1e-3),
           .norm = thaw::hold_everywhere}};
}

}  // namespace

TEST_CASE("a resumed run ends as one that was not interrupted: two stages, one-cycle, AdamW, EMA, early stop") {
  check_every_point(
      [](const auto& start, Watch watch) {
        Net net;
        Learner learner{net.module, net.groups, thaw::cross_entropy, options()};
        start(learner);
        learner.fit(head_then_all(), thaw::EMA{.decay = .9}, thaw::EarlyStop{.patience = 1}, watch);
        return copy(learner.run_state());
      },
      14);
}

TEST_CASE(
    "a resumed run ends as one that was not interrupted: gradual unfreezing, SGD, accumulation, MixUp, plateaus") {
  check_every_point(
      [](const auto& start, Watch watch) {
        Net net;
        auto how = options();
        how.optimizer = [](const thaw::LayerGroups& groups) {
          return std::make_unique<thaw::SGD>(groups, torch::optim::SGDOptions(0.1).momentum(.9));
        };
        how.callbacks = {thaw::ReduceOnPlateau{.factor = .5, .patience = 0}};
        Learner learner{net.module, net.groups, thaw::cross_entropy, how};
        start(learner);
        learner.fit({.name = "unfreeze", .epochs = 4, .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{1}}, .lr = 1e-2},
                    thaw::GradientAccumulation{2}, thaw::MixUp{}, watch);
        return copy(learner.run_state());
      },
      4 * 3 + 4 + 1);
}

TEST_CASE("a resumed run ends as one that was not interrupted: kept features, augmented, prefetched") {
  const auto augment = [](const thaw::Fields& x, at::Generator random) {
    return thaw::Fields(x[0] + .1 * at::randn(x[0].sizes(), random, at::kFloat));
  };
  check_every_point(
      [&](const auto& start, Watch watch) {
        Net net;
        Learner learner{net.module, net.groups, thaw::cross_entropy, options(thaw::Prefetch{data(36, augment)})};
        start(learner);
        learner.fit(std::vector<thaw::Stage>{{.name = "head",
                                              .epochs = 3,
                                              .freeze = thaw::FreezeTo{-1},
                                              .lr = 1e-2,
                                              .cache = {.where = thaw::Cache::Where::memory, .passes = 2}},
                                             {.name = "all", .epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 1e-3}},
                    thaw::SWA{}, watch);
        return copy(learner.run_state());
      },
      3 * 5 + 5 + 4 + 2);
}

TEST_CASE("a resumed run ends as one that was not interrupted: transforms that draw from the global generator") {
  const auto augment = [](const thaw::Fields& x) { return thaw::Fields(x[0] + .1 * at::rand_like(x[0])); };
  check_every_point(
      [&](const auto& start, Watch watch) {
        Net net;
        Learner learner{net.module, net.groups, thaw::cross_entropy, options(data(36, augment))};
        start(learner);
        learner.fit(std::vector<thaw::Stage>{{.name = "head",
                                              .epochs = 2,
                                              .freeze = thaw::FreezeTo{-1},
                                              .lr = 1e-2,
                                              .cache = {.where = thaw::Cache::Where::memory, .passes = 2}},
                                             {.name = "all", .epochs = 1, .freeze = thaw::Unfrozen{}, .lr = 1e-3}},
                    watch);
        return copy(learner.run_state());
      },
      2 * 5 + 5 + 3 + 2);
}

TEST_CASE("a resumed run ends as one that was not interrupted: LibTorch's loaders, shuffled by the global generator") {
  const std::size_t workers = GENERATE(0, 2);
  const bool one_for_both = GENERATE(false, true);
  check_every_point(
      [&](const auto& start, Watch watch) {
        const auto loader = [&](std::int64_t n) {
          return thaw::DataSource(torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
              Samples(numbers(n, 1), classes(n, 2)).map(torch::data::transforms::Stack<>()),
              torch::data::DataLoaderOptions(8).workers(workers)));
        };
        Net net;
        const thaw::DataSource train = loader(36), valid = one_for_both ? train : loader(20);
        Learner learner{net.module, net.groups, thaw::cross_entropy, {.train = train, .valid = valid}};
        start(learner);
        learner.fit(head_then_all(), thaw::EarlyStop{.patience = 5}, watch);
        return copy(learner.run_state());
      },
      14);
}

TEST_CASE(
    "a resumed run ends as one that was not interrupted: several fits on LibTorch's loaders, compiled frozen part") {
  const bool compiled = GENERATE(false, true);
  check_every_point(
      [&](const auto& start, Watch watch) {
        const auto loader = [&](std::int64_t n) {
          return thaw::DataSource(torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
              Samples(numbers(n, 1), classes(n, 2)).map(torch::data::transforms::Stack<>()),
              torch::data::DataLoaderOptions(8)));
        };
        Net net;
        thaw::LearnerOptions how{.train = loader(36), .valid = loader(20)};
        if (compiled) how.frozen_prefix = thaw::CompiledPrefix::make;
        Learner learner{net.module, net.groups, thaw::cross_entropy, how};
        start(learner);
        learner.fit({.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2}, watch);
        const thaw::LRCurve curve = learner.find_lr({.steps = 8});
        learner.fit({.name = "more", .epochs = 2, .freeze = thaw::FreezeTo{1}, .lr = curve.lr.at(2)}, watch);
        return copy(learner.run_state());
      },
      4 * 6 + 2);
}

TEST_CASE("a resumed run ends as one that was not interrupted: several fits, the LR finder and freezing between them") {
  check_every_point(
      [](const auto& start, Watch watch) {
        Net net;
        auto how = options();
        how.optimizer = [](const thaw::LayerGroups& groups) {
          return std::make_unique<thaw::Adam>(groups, torch::optim::AdamOptions(1e-3).amsgrad(true));
        };
        how.callbacks = {thaw::EMA{.decay = .8}};
        Learner learner{net.module, net.groups, thaw::cross_entropy, how};
        start(learner);
        learner.freeze();
        learner.fit({.name = "head", .epochs = 1, .lr = 1e-2}, watch);
        learner.unfreeze(thaw::hold_everywhere);
        const thaw::LRCurve curve = learner.find_lr({.steps = 12});
        const double lr = curve.lr.at(curve.lr.size() / 3);
        learner.fit({.name = "all", .epochs = 2, .lr = thaw::DiscriminativeLR::slice(lr / 10, lr)}, watch);
        learner.freeze_to(1);
        learner.fit({.name = "more", .epochs = 1, .lr = 1e-4}, watch);
        return copy(learner.run_state());
      },
      4 * 5 + 4 + 3);
}

TEST_CASE("a resumed run ends as one that was not interrupted: other optimizers") {
  using Make = std::function<std::unique_ptr<torch::optim::Optimizer>(const thaw::LayerGroups&)>;
  const Make make = GENERATE(
      Make([](const thaw::LayerGroups& groups) -> std::unique_ptr<torch::optim::Optimizer> {
        return std::make_unique<torch::optim::RMSprop>(thaw::param_groups(groups),
                                                       torch::optim::RMSpropOptions(1e-2).momentum(.9).centered(true));
      }),
      Make([](const thaw::LayerGroups& groups) -> std::unique_ptr<torch::optim::Optimizer> {
        return std::make_unique<torch::optim::Adagrad>(thaw::param_groups(groups), torch::optim::AdagradOptions(1e-2));
      }),
      Make([](const thaw::LayerGroups& groups) -> std::unique_ptr<torch::optim::Optimizer> {
        auto foreign = std::make_unique<torch::optim::SGD>(thaw::param_groups(groups),
                                                           torch::optim::SGDOptions(1e-2).momentum(.9));
        for (auto& group : foreign->param_groups()) {
          auto options = std::make_unique<ForeignOptions>(1e-2);
          options->momentum(.9);
          group.set_options(std::move(options));
        }
        return foreign;
      }));
  check_every_point(
      [&](const auto& start, Watch watch) {
        Net net;
        auto how = options();
        how.optimizer = make;
        Learner learner{net.module, net.groups, thaw::cross_entropy, how};
        start(learner);
        learner.fit(head_then_all(), watch);
        return copy(learner.run_state());
      },
      14);
}

TEST_CASE("a resumed run ends as one that was not interrupted: a guard that rolls back") {
  struct Spoil {  // a step's gradients, twice in the run
    void on_gradients_ready(const thaw::GradientsReady& event) const {
      const std::size_t steps = event.learner.history().steps.size();
      if (steps == 4 || steps == 11) event.learner.groups().gradients().at(0).fill_(NAN);
    }
  };
  check_every_point(
      [](const auto& start, Watch watch) {
        Net net;
        Learner learner{net.module, net.groups, thaw::cross_entropy, options()};
        start(learner);
        learner.fit(head_then_all(), Spoil{}, thaw::NaNGuard{.then = thaw::OnNaN::roll_back, .every = 3}, watch);
        return copy(learner.run_state());
      },
      14);
}

TEST_CASE("a resumed run ends as one that was not interrupted: a history that keeps few steps") {
  check_every_point(
      [](const auto& start, Watch watch) {
        Net net;
        auto how = options();
        how.max_recorded_steps = 4;
        Learner learner{net.module, net.groups, thaw::cross_entropy, how};
        start(learner);
        learner.fit(head_then_all(), watch);
        CHECK(learner.history().every == 8);
        return copy(learner.run_state());
      },
      14);
}

TEST_CASE("an epoch of thousands of steps is resumed in its middle") {
  std::vector<RunState> points;
  struct Rarely {
    std::vector<RunState>* states;
    void on_safe_point(const thaw::SafePoint& event) const {
      if (const auto done = event.learner.history().steps_done; done == 1000 || done == 1024 || done == 1500)
        states->push_back(copy(event.learner.run_state()));
    }
  };
  const auto program = [&](const std::function<void(Learner&)>& start) {
    Net net;
    Learner learner{net.module, net.groups, thaw::cross_entropy, options(data(1100 * 8))};
    start(learner);
    learner.fit({.epochs = 2, .lr = 1e-3}, Rarely{&points});
    return copy(learner.run_state());
  };
  at::manual_seed(1);
  const RunState end = program([](Learner&) {});
  REQUIRE(points.size() == 3);
  for (const RunState& point : std::vector(points))
    CHECK(differences(end, program([&](Learner& learner) { learner.resume(copy(point)); })).empty());
}

TEST_CASE("a resumed run ends as one that was not interrupted: rounds until the network overfits") {
  check_every_point(
      [](const auto& start, Watch watch) {
        Net net;
        auto how = options();
        how.callbacks = {watch};
        Learner learner{net.module, net.groups, thaw::cross_entropy, how};
        start(learner);
        (void)learner.fit_until_overfit({.epochs = 1, .max_rounds = 3});
        return copy(learner.run_state());
      },
      3 * 7);
}

TEST_CASE("a resumed run ends as one that was not interrupted: the best point on a line, numbers decided once") {
  check_every_point(
      [](const auto& start, Watch watch) {
        Net net;
        Learner learner{net.module, net.groups, thaw::cross_entropy, options()};
        start(learner);
        const auto by_weights = [&] {
          return learner.decide_once([&] { return std::vector{learner.validate().loss, 2.0}; });
        };
        const auto epochs = static_cast<std::int64_t>(by_weights()[1]);
        learner.fit({.name = "first", .epochs = epochs, .lr = 3e-2}, thaw::KeepBest{.line = 2}, watch);
        const double lr = by_weights()[0] / 100;  // of weights that a resumed run no longer has
        learner.fit({.name = "second", .epochs = 1, .lr = lr}, watch);
        return copy(learner.run_state());
      },
      12);
}

TEST_CASE("a fit that was done before the checkpoint is left out, and gives the record that it gave") {
  const auto run = [](const std::function<void(Learner&)>& start, std::vector<RunState>* points) {
    at::manual_seed(1);
    Net net;
    Learner learner{net.module, net.groups, thaw::cross_entropy, options()};
    start(learner);
    std::vector<RunState> dropped;
    const thaw::EpochRecord first = learner.fit({.name = "first", .epochs = 2}, Watch{points ? points : &dropped});
    CHECK((points || dropped.empty()));
    return first.train_loss;
  };
  std::vector<RunState> points;
  const double loss = run([](Learner&) {}, &points);
  CHECK(run([&](Learner& learner) { learner.resume(points.back()); }, nullptr) == loss);
}

TEST_CASE("a run that goes on in another locale is the same run") {
  const thaw::Stage stage{.epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-3};
  std::vector<RunState> points;
  Net net;
  Learner learner{net.module, net.groups, thaw::cross_entropy, options()};
  learner.fit(stage, Watch{&points});

  const std::string before = std::setlocale(LC_NUMERIC, nullptr);
  if (std::setlocale(LC_NUMERIC, "de_DE.UTF-8") == nullptr) SKIP("no locale de_DE.UTF-8 here");
  const auto put_back = c10::make_scope_exit([&] { std::setlocale(LC_NUMERIC, before.c_str()); });
  Net other;
  Learner next{other.module, other.groups, thaw::cross_entropy, options()};
  next.resume(points.front());
  CHECK_NOTHROW(next.fit(stage));
}

TEST_CASE("another model, optimizer, plan or other callbacks are refused, and what differs is named") {
  Net net;
  std::vector<RunState> points;
  Learner learner{net.module, net.groups, thaw::cross_entropy, options()};
  learner.fit({.name = "head", .epochs = 1, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2}, thaw::EMA{}, Watch{&points});
  const RunState mid = points.at(1);

  SECTION("a layer of another size") {
    torch::nn::Sequential other{torch::nn::Linear(6, 8), torch::nn::BatchNorm1d(8), torch::nn::Linear(8, 8),
                                torch::nn::Dropout(.3),  torch::nn::BatchNorm1d(8), torch::nn::Linear(8, 4)};
    Learner next{other, thaw::LayerGroups::cut_before(other, {"2", "5"}), thaw::cross_entropy, options()};
    const at::Tensor before = other->parameters()[0].detach().clone();
    CHECK_THROWS_MATCHES(
        next.resume(mid), thaw::ConfigError,
        MessageMatches(ContainsSubstring("the checkpoint has 5.bias [3] Float, 5.weight [3, 8] Float; this run has "
                                         "5.weight [4, 8] Float, 5.bias [4] Float")));
    CHECK(other->parameters()[0].equal(before));
    next.resume(mid, {.strict = false});
    CHECK(other->parameters()[0].equal(mid.at("model/0.weight")));
    next.fit({.name = "head", .epochs = 1, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2}, thaw::EMA{});
    CHECK(next.history().steps.size() == learner.history().steps.size());
  }
  SECTION("other groups") {
    Net other;
    Learner next{other.module, thaw::LayerGroups::cut_before(other.module, {"5"}), thaw::cross_entropy, options()};
    CHECK_THROWS_MATCHES(next.resume(mid), thaw::ConfigError, MessageMatches(ContainsSubstring("layer group \"2\"")));
  }
  SECTION("another layout or precision") {
    Net other;
    auto how = options();
    how.layout = thaw::Layout::channels_last;
    Learner next{other.module, other.groups, thaw::cross_entropy, how};
    RunState contiguous = copy(mid);
    contiguous.at("layout").fill_(static_cast<std::int64_t>(thaw::Layout::contiguous));
    CHECK_THROWS_MATCHES(next.resume(contiguous), thaw::ConfigError,
                         MessageMatches(ContainsSubstring("layout contiguous; this run has layout channels_last")));
    for (const std::int64_t none : {std::int64_t{3}, std::int64_t{1} << 40}) {  // what no run can have written
      contiguous.at("layout").fill_(none);
      CHECK_THROWS_MATCHES(next.resume(contiguous), thaw::ConfigError,
                           MessageMatches(ContainsSubstring("layout " + std::to_string(none) + "; this run has")));
    }
    RunState half = copy(mid);
    half.at("layout").fill_(static_cast<std::int64_t>(thaw::Layout::channels_last));
    half.at("precision").fill_(static_cast<std::int64_t>(thaw::Precision::bfloat16));
    CHECK_THROWS_MATCHES(next.resume(half), thaw::ConfigError,
                         MessageMatches(ContainsSubstring("precision bfloat16; this run has precision full")));
  }
  SECTION("another optimizer") {
    Net other;
    auto how = options();
    how.optimizer = [](const thaw::LayerGroups& groups) {
      return std::make_unique<thaw::SGD>(groups, torch::optim::SGDOptions(0.1));
    };
    Learner next{other.module, other.groups, thaw::cross_entropy, how};
    CHECK_THROWS_MATCHES(
        next.resume(mid), thaw::ConfigError,
        MessageMatches(ContainsSubstring("optimizer AdamWOptions; this run has optimizer SGDOptions")));
  }
  SECTION("another plan") {
    Net other;
    Learner next{other.module, other.groups, thaw::cross_entropy, options()};
    next.resume(mid);
    CHECK_THROWS_MATCHES(
        next.fit({.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2}, thaw::EMA{}),
        thaw::ConfigError,
        MessageMatches(ContainsSubstring("the plan is another one: the checkpoint has stage 1, \"head\": 1 epochs") &&
                       ContainsSubstring("this run has stage 1, \"head\": 2 epochs")));
  }
  SECTION("another plan, then the right one") {
    Net other;
    Learner next{other.module, other.groups, thaw::cross_entropy, options()};
    next.resume(mid);
    CHECK_THROWS_AS(next.fit({.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2}, thaw::EMA{}),
                    thaw::ConfigError);
    std::vector<RunState> rest;
    next.fit({.name = "head", .epochs = 1, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2}, thaw::EMA{}, Watch{&rest});
    CHECK(differences(rest.back(), points.back()) == std::vector<std::string>{});
  }
  SECTION("another plan of a fit that was done") {
    Net other;
    Learner next{other.module, other.groups, thaw::cross_entropy, options()};
    next.resume(points.back());
    CHECK_THROWS_MATCHES(
        next.fit({.name = "head", .epochs = 2, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2}), thaw::ConfigError,
        MessageMatches(ContainsSubstring("the checkpoint has head, 1 epochs; this run has head, 2 epochs")));
  }
  SECTION("other data") {
    Net other;
    Learner next{other.module, other.groups, thaw::cross_entropy, options(data(80))};
    next.resume(mid);
    CHECK_THROWS_MATCHES(next.fit({.name = "head", .epochs = 1, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2}, thaw::EMA{}),
                         thaw::ConfigError, MessageMatches(ContainsSubstring("5 steps per epoch")));
  }
  SECTION("no EMA") {
    Net other;
    Learner next{other.module, other.groups, thaw::cross_entropy, options()};
    next.resume(mid);
    CHECK_THROWS_MATCHES(next.fit({.name = "head", .epochs = 1, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2}),
                         thaw::ConfigError, MessageMatches(ContainsSubstring("the checkpoint has thaw::EMA")));
  }
  SECTION("one callback more that remembers something") {
    Net other;
    Learner next{other.module, other.groups, thaw::cross_entropy, options()};
    next.resume(mid);
    CHECK_THROWS_MATCHES(next.fit({.name = "head", .epochs = 1, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2}, thaw::EMA{},
                                  thaw::EarlyStop{.monitor = "valid_loss", .patience = 3}),
                         thaw::ConfigError, MessageMatches(ContainsSubstring("this run has thaw::EarlyStop")));
  }
  SECTION("a state asked for before the run is where it goes on") {
    Net other;
    Learner next{other.module, other.groups, thaw::cross_entropy, options()};
    next.resume(mid);
    CHECK_THROWS_MATCHES(next.run_state(), thaw::ConfigError,
                         MessageMatches(ContainsSubstring("has not come to where it goes on")));
  }
  SECTION("a state that no run can have written") {
    Net other;
    Learner next{other.module, other.groups, thaw::cross_entropy, options()};
    const auto refused = [&](const std::string& name, const at::Tensor& value) {
      INFO(name);
      RunState bad = copy(mid);
      REQUIRE(bad.contains(name));
      bad[name] = value;
      CHECK_THROWS_MATCHES(next.resume(bad), thaw::FileError, MessageMatches(ContainsSubstring("makes no sense")));
    };
    const auto number = [](std::int64_t n) { return at::full({}, n, at::kLong); };
    refused("place/fit", number(1));
    refused("place/fit", number(-1));
    refused("place/stage", number(-1));
    refused("place/epoch", number(-1));
    refused("place/epoch", number(1));
    refused("place/step", number(-1));
    refused("place/samples", at::zeros({7}, at::kDouble));
    RunState bad = copy(mid);
    std::vector<std::string> devices{"abacus"};
    at::Tensor bytes = at::zeros({8}, at::kByte);
    const thaw::StateVisitor pass = thaw::StateVisitor(bad, /*reading=*/false).in("place").in("pass");
    pass("devices", devices), pass("abacus", bytes);
    CHECK_THROWS_MATCHES(next.resume(bad), thaw::FileError, MessageMatches(ContainsSubstring("makes no sense")));
    next.resume(mid);  // none of these has changed anything
  }
  SECTION("a Learner that has trained") {
    CHECK_THROWS_MATCHES(learner.resume(mid), thaw::ConfigError,
                         MessageMatches(ContainsSubstring("has trained already")));
  }
}

TEST_CASE("layer groups in another order find their own again") {
  const auto groups = [](const torch::nn::Sequential& net, bool turned) {
    const thaw::NamedPatterns body{"body", {"0.*", "1.*", "2.*", "4.*"}}, head{"head", {"5.*"}};
    return thaw::LayerGroups::matching(net, turned ? std::vector{head, body} : std::vector{body, head});
  };
  const thaw::Stage stage{.epochs = 1, .freeze = thaw::FreezeWhere{"body"}, .lr = 1e-2};
  Net net;
  std::vector<RunState> points;
  Learner learner{net.module, groups(net.module, false), thaw::cross_entropy, options()};
  learner.fit(stage, Watch{&points});
  const double rate = learner.history().steps.at(0).lr.at(1), last = learner.history().epochs.at(0).lr.at(1);
  Net other;
  Learner next{other.module, groups(other.module, true), thaw::cross_entropy, options()};
  next.resume(points.at(4));  // after the epoch's last step: none comes that would set the rates anew
  CHECK(next.groups().frozen() == std::vector<bool>{false, true});
  CHECK(next.history().steps.at(0).lr == std::vector<double>{rate, 0});
  next.fit(stage);
  CHECK(next.history().epochs.at(0).lr == std::vector<double>{last, 0});
}

TEST_CASE("a layer group that the checkpoint does not know was not frozen, and had no rate") {
  const auto groups = [](const torch::nn::Sequential& net, const std::string& name) {
    return thaw::LayerGroups::matching(net, {{name, {"0.*", "1.*", "2.*", "4.*"}}, {"head", {"5.*"}}});
  };
  Net net;
  std::vector<RunState> points, later;
  Learner learner{net.module, groups(net.module, "body"), thaw::cross_entropy, options()};
  learner.fit({.epochs = 1, .lr = 1e-2}, Watch{&points});
  Net other;
  Learner next{other.module, groups(other.module, "trunk"), thaw::cross_entropy, options()};
  next.resume(points.at(4), {.strict = false});
  CHECK(next.groups().frozen() == std::vector<bool>{false, false});
  next.fit({.epochs = 1, .lr = 1e-2}, Watch{&later});
  CHECK(next.history().epochs.at(0).lr == std::vector<double>{0, learner.history().epochs.at(0).lr.at(1)});
  std::vector<bool> frozen;
  thaw::StateVisitor(later.at(0), /*reading=*/true).in("place")("frozen", frozen);
  CHECK(frozen == std::vector<bool>{false, false});
}

TEST_CASE(
    "callbacks are remembered by class and number, the Learner's own apart, those with nothing to say not at all") {
  struct Silent {
    void on_run_state(const thaw::RunStateVisit&) const {}
  };
  const thaw::EarlyStop early{.monitor = "valid_loss", .patience = 9};
  Net net;
  std::vector<RunState> points;
  auto how = options();
  how.callbacks = {early};
  Learner learner{net.module, net.groups, thaw::cross_entropy, how};
  learner.fit({.epochs = 1, .lr = 1e-2}, early, early, early, Silent{}, Watch{&points});
  std::vector<std::string> names;
  thaw::StateVisitor(points.at(1), /*reading=*/true).in("callbacks")("names", names);
  CHECK(names == std::vector<std::string>{"thaw::EarlyStop", "thaw::EarlyStop of the Learner",
                                          "thaw::EarlyStop, number 2", "thaw::EarlyStop, number 3"});
}

TEST_CASE("a state taken within an epoch knows how long that took so far") {
  Net net;
  std::vector<RunState> points;
  Learner learner{net.module, net.groups, thaw::cross_entropy, options()};
  learner.fit({.epochs = 1, .lr = 1e-2}, Watch{&points});
  CHECK(points.at(1).at("place/seconds").item<double>() > 0);
  CHECK(points.at(3).at("place/seconds").item<double>() > points.at(1).at("place/seconds").item<double>());
  CHECK(points.at(6).at("place/seconds").item<double>() == 0);  // between two
}

TEST_CASE("a resumed run does not try its data again in the fit after the one that it goes on with") {
  struct Counted {
    thaw::InMemory source;
    int* begun;
    [[nodiscard]] std::int64_t batches() const { return source.batches(); }
    [[nodiscard]] thaw::BatchStream stream(std::int64_t epoch) const { return ++*begun, source.stream(epoch); }
  };
  int begun = 0;
  const auto run = [&](const std::function<void(Learner&)>& start, std::vector<RunState>* points) {
    Net net;
    Learner learner{net.module, net.groups, thaw::cross_entropy, options(Counted{data(36), &begun})};
    start(learner);
    learner.fit({.name = "first", .epochs = 1, .lr = 1e-2}, Watch{points});
    begun = 0;
    learner.fit({.name = "second", .epochs = 1, .lr = 1e-2});
    return begun;
  };
  std::vector<RunState> points, later;
  const int alone = run([](Learner&) {}, &points);
  CHECK(run([&](Learner& learner) { learner.resume(points.at(1)); }, &later) == alone);
}

TEST_CASE("a state visitor gives back what it was given, and says what is missing or of another kind") {
  RunState state;
  const auto visit = [](const thaw::StateVisitor& s, bool& yes, std::int64_t& n, double& x, std::string& text,
                        std::vector<std::string>& list, std::optional<double>& none, std::optional<double>& some,
                        at::Tensor& tensor, at::Tensor& undefined) {
    s("yes", yes), s("n", n), s("x", x), s("text", text), s("list", list);
    s.in("below")("none", none), s.in("below")("some", some);
    s("tensor", tensor), s("undefined", undefined);
  };
  bool yes = true;
  std::int64_t n = std::int64_t{1} << 60;
  double x = 0.1;
  std::string text("a\0\xff", 3);
  std::vector<std::string> list{"", "one", "two words"};
  std::optional<double> none, some = -0.0;
  at::Tensor tensor = at::randn({2, 3}), undefined;
  visit({state, false}, yes, n, x, text, list, none, some, tensor, undefined);

  bool yes2 = false;
  std::int64_t n2 = 0;
  double x2 = 0;
  std::string text2;
  std::vector<std::string> list2;
  std::optional<double> none2 = 1, some2;
  at::Tensor tensor2, undefined2 = at::randn({1});
  visit({state, true}, yes2, n2, x2, text2, list2, none2, some2, tensor2, undefined2);
  CHECK(yes2);
  CHECK(n2 == n);
  CHECK(x2 == x);
  CHECK(text2 == text);
  CHECK(list2 == list);
  CHECK_FALSE(none2);
  CHECK((some2 && std::signbit(*some2)));
  CHECK(tensor2.equal(tensor));
  CHECK_FALSE(undefined2.defined());

  const thaw::StateVisitor reader(state, true);
  CHECK_THROWS_MATCHES(reader("gone", x2), thaw::FileError, MessageMatches(ContainsSubstring("gone: is not in")));
  CHECK_THROWS_MATCHES(reader("n", x2), thaw::FileError, MessageMatches(ContainsSubstring("of another kind")));
  CHECK_THROWS_MATCHES(reader.into("tensor", at::randn({3})), thaw::FileError,
                       MessageMatches(ContainsSubstring("is [2, 3] in the checkpoint, and [3] here")));
  for (const std::vector<std::int64_t>& sizes : {std::vector<std::int64_t>{4}, {2, 2}, {-1}, {3, 1}}) {
    RunState lies;
    std::string three = "abc";
    std::vector<std::int64_t> written = sizes;
    thaw::StateVisitor(lies, false)("list", three), thaw::StateVisitor(lies, false)("list sizes", written);
    CHECK_THROWS_MATCHES(thaw::StateVisitor(lies, true)("list", list2), thaw::FileError,
                         MessageMatches(ContainsSubstring("of another kind")));
  }
}

TEST_CASE("resume refuses weights that become infinite in the model's type, before anything has changed") {
  Net net;
  std::vector<RunState> points;
  Learner learner{net.module, net.groups, thaw::cross_entropy, options()};
  learner.fit({.epochs = 1, .lr = 1e-2}, Watch{&points});
  RunState state = points.at(1);
  at::Tensor& last = state.at("model/5.bias");
  last = at::full_like(last, 1e300, at::kDouble);
  Net other;
  Learner next{other.module, other.groups, thaw::cross_entropy, options()};
  const at::Tensor before = other.module->parameters()[0].detach().clone();
  CHECK_THROWS_MATCHES(
      next.resume(state, {.strict = false}), thaw::FileError,
      MessageMatches(ContainsSubstring("model/5.bias: is Double, the model's is Float, in which some")));
  CHECK(other.module->parameters()[0].equal(before));
}
