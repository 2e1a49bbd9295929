// SPDX-License-Identifier: BSD-3-Clause
// Captured passes: what runs from them is what runs without.
#include <thaw/train/detail/pass_graph.hpp>

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_exception.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <memory>
#include <thaw/data/in_memory.hpp>
#include <thaw/data/prefetch.hpp>
#include <thaw/groups/gradual_unfreeze.hpp>
#include <thaw/schedule/one_cycle.hpp>
#include <thaw/train/gradient_accumulation.hpp>
#include <thaw/train/gradient_clip.hpp>
#include <thaw/train/learner.hpp>
#include <thaw/train/loss.hpp>
#include <thaw/train/mixup.hpp>

#include "device/accelerator.hpp"
#include "device/device.hpp"
#include "support/nets.hpp"

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::MessageMatches;
using thaw::test::test_device;

namespace {

/// Counts how often the host goes through it while it trains.
struct CountedImpl : torch::nn::Module {
  CountedImpl() {
    first = register_module("first", torch::nn::Linear(5, 8));
    norm = register_module("norm", torch::nn::BatchNorm1d(8));
    drop = register_module("drop", torch::nn::Dropout(0.3));
    head = register_module("head", torch::nn::Linear(8, 3));
    to(at::kDouble);
    to(test_device());
  }
  at::Tensor forward(const at::Tensor& x) {
    if (is_training()) ++times;
    const at::Tensor features = drop->forward(norm->forward(first->forward(x)).relu());
    if (reads && features.sum().item<double>() > 1e9) return {};
    return head->forward(features);
  }
  torch::nn::Linear first{nullptr}, head{nullptr};
  torch::nn::BatchNorm1d norm{nullptr};
  torch::nn::Dropout drop{nullptr};
  int times = 0;
  bool reads = false;  // a number from the device, as no captured pass can
};
TORCH_MODULE(Counted);

/// 3 batches of 6 samples an epoch, and one of 4.
struct Captured {
  explicit Captured(bool graphs) {
    thaw::seed(3);
    net = Counted();
    const at::Tensor target = at::randint(3, {22}, at::kLong);
    const at::Tensor input = at::randn({22, 5}, at::kDouble) + target.view({-1, 1});
    thaw::LearnerOptions options{.train = thaw::Prefetch{thaw::InMemory(
                                     {.input = input, .target = target, .batch_size = 6, .shuffle = true, .seed = 1})}};
    options.valid = options.train;
    options.cuda_graphs = graphs;
    learner = std::make_unique<thaw::Learner>(net, thaw::LayerGroups::cut_before(net, {"norm", "head"}),
                                              thaw::cross_entropy, std::move(options));
  }

  Counted net{nullptr};
  std::unique_ptr<thaw::Learner> learner;
};

/// How often the host went through the model in each of two runs that have to be the same, the second by graphs.
template <class Run>
std::pair<int, int> both(const Run& run) {
  Captured plain(false), graphs(true);
  for (Captured* each : {&plain, &graphs}) {
    thaw::seed(8);
    run(*each->learner);
  }
  const auto& expected = plain.learner->history().steps;
  const auto& found = graphs.learner->history().steps;
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(found[i].loss == expected[i].loss);
  CHECK(thaw::test::same_state(thaw::test::state_of(*plain.net), *graphs.net));
  for (const std::string& each : thaw::test::accelerator::misuse()) FAIL_CHECK(each);
  return {plain.net->times, graphs.net->times};
}

constexpr int warm_up_and_capture = 4;

void need_graphs() {
  try {
    const thaw::detail::DeviceGraph any(test_device());
  } catch (const thaw::ConfigError& error) {
    SKIP(error.what());
  }
}

}  // namespace

TEST_CASE("a plan by captured passes is the plan, bit for bit, through thawing, dropout and a last batch of its own") {
  need_graphs();
  const auto [plain, graphs] = both([](thaw::Learner& learner) {
    learner.fit({.name = "head", .epochs = 3, .freeze = thaw::FreezeTo{-1}, .lr = 1e-2});
    learner.fit({.name = "thaw",
                 .epochs = 4,
                 .freeze = thaw::GradualUnfreeze{.every = thaw::Epochs{2}},
                 .lr = thaw::DiscriminativeLR::slice(1e-3, 1e-2),
                 .schedule = thaw::OneCycle{}});
  });
  const int tried = plain - 7 * 4;  // the data on the model, and the like
  CHECK(plain >= 7 * 4);
  CHECK(graphs - tried <= 3 * warm_up_and_capture + 7 + 4);  // the last batches as ever
}

TEST_CASE("so it is with batches that are accumulated, gradients that are clipped, and the finder's curve") {
  need_graphs();
  const auto [plain, graphs] = both([](thaw::Learner& learner) {
    const thaw::LRCurve curve = learner.find_lr({.steps = 12, .stop_early = false});
    CHECK(curve.loss.size() == 12);
    learner.fit({.epochs = 6, .freeze = thaw::Unfrozen{}, .lr = 1e-2}, thaw::GradientAccumulation{3},
                thaw::GradientClip{.norm = 0.2});
  });
  CHECK(graphs < plain - 10);
}

TEST_CASE("what cannot be captured is said before anything moved") {
  need_graphs();
  Captured reading(true);
  const auto before = thaw::test::state_of(*reading.net);
  reading.net->reads = true;
  CHECK_THROWS_MATCHES(
      reading.learner->fit({.freeze = thaw::Unfrozen{}}), thaw::ConfigError,
      MessageMatches(ContainsSubstring("LearnerOptions::cuda_graphs") && ContainsSubstring("cannot be captured") &&
                     ContainsSubstring("read a number from the device")));
  CHECK(thaw::test::same_state(before, *reading.net));

  Captured mixing(true);
  CHECK_THROWS_MATCHES(
      mixing.learner->fit({.freeze = thaw::Unfrozen{}}, thaw::MixUp{}), thaw::ConfigError,
      MessageMatches(ContainsSubstring("MixUp") && ContainsSubstring("hears of the loss within each step")));
  CHECK_THROWS_AS(mixing.learner->find_lr({}, thaw::MixUp{}), thaw::ConfigError);
  CHECK(thaw::test::same_state(before, *mixing.net));
}

TEST_CASE("a CPU has no graphs, which is said at once") {
  thaw::test::TinyNet net;
  CHECK_THROWS_MATCHES(
      thaw::Learner(net, thaw::LayerGroups::per_child(net), thaw::cross_entropy,
                    thaw::LearnerOptions{
                        .train = thaw::InMemory({.input = at::randn({6, 4}), .target = at::randint(3, {6}, at::kLong)}),
                        .cuda_graphs = true}),
      thaw::ConfigError, MessageMatches(ContainsSubstring("work of cpu cannot be captured")));
}

TEST_CASE("captured passes take new weights where they lie, and are captured anew where weights lie elsewhere") {
  need_graphs();
  const auto [plain, graphs] = both([](thaw::Learner& learner) {
    const thaw::Stage stage{.epochs = 2, .freeze = thaw::Unfrozen{}, .lr = 1e-2};
    struct Moves {
      void on_epoch_begin(const thaw::EpochBegin& event) const {
        const c10::NoGradGuard no_grad;
        event.learner.groups().each_tensor([&](const std::string& name, const at::Tensor& tensor) {
          if (name == "head.weight") at::Tensor(tensor).set_data(tensor.detach().clone() * 0.5);
          if (name == "first.weight") tensor.detach().mul_(0.5);
        });
      }
    };
    learner.fit(stage, Moves{});
  });
  CHECK(plain > 0);
  CHECK(graphs > 0);
}
